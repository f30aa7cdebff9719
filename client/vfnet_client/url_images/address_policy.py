"""Which addresses the gateway may fetch images from: the public ones, and what the operator adds."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NOT_PUBLIC: tuple[tuple[Network, str], ...] = tuple(
    (ip_network(network), meaning)
    for network, meaning in (
        # https://www.iana.org/assignments/iana-ipv4-special-registry and RFC 5771 (multicast), RFC 1112 (class E)
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared by a carrier's customers (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "reserved for AS112"),
        ("192.52.193.0/24", "reserved for multicast tunnels"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved for AS112"),
        ("198.18.0.0/15", "for benchmarks"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        # Azure's platform channel, in every virtual network there: learn.microsoft.com/azure/virtual-network/
        # what-is-ip-address-168-63-129-16. Its registry entry is an ordinary public one.
        ("168.63.129.16/32", "Azure's platform channel"),
        # https://www.iana.org/assignments/iana-ipv6-special-registry
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("64:ff9b::/96", "translated to IPv4 (NAT64)"),
        ("64:ff9b:1::/48", "translated to IPv4 (NAT64)"),
        ("2001::/32", "tunnelled to IPv4 (Teredo)"),
        ("2001::/23", "reserved for protocols"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "tunnelled to IPv4 (6to4)"),
        ("2620:4f:8000::/48", "reserved for AS112"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "unique-local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
)
"""Networks and what they are. `ipaddress.is_global` lets some of these through, and changes with Python's version."""

_GLOBAL_UNICAST = IPv6Network("2000::/3")
"""All that has been assigned to public hosts so far (RFC 4291, IANA); an IPv6 address outside it is none."""
_HOST_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")


def why_not_public(address: Address) -> str | None:
    """What an address is instead of public; None for a public one."""
    for network, meaning in NOT_PUBLIC:
        if address.version == network.version and address in network:
            return meaning
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in _GLOBAL_UNICAST):
        return "not global unicast"
    return None


@dataclass(frozen=True)
class AddressPolicy:
    """Public addresses, and the operator's exceptions.

    Attributes:
        allowed_networks: addresses in these are permitted, whatever they are.
        allowed_hosts: names, in lower case, that are permitted at whatever address they have.
    """

    allowed_networks: tuple[Network, ...] = ()
    allowed_hosts: frozenset[str] = frozenset()

    @classmethod
    def allowing(cls, entries: Iterable[str]) -> AddressPolicy:
        """From an operator's words: networks (`10.1.0.0/16`), addresses and host names.

        Raises:
            ValueError: lists every entry that is none of these.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        wrong: list[str] = []
        for entry in entries:
            name = entry.strip().lower().rstrip(".")
            try:
                networks.append(ip_network(entry.strip()))
            except ValueError as error:
                # What looks like numbers is a mistyped network and no name.
                if _HOST_NAME.fullmatch(name) and not name.rpartition(".")[2].isdecimal():
                    hosts.add(name)
                else:
                    wrong.append(str(error) if "host bits" in str(error) else repr(entry))
        if wrong:
            raise ValueError(f"neither a network, an address nor a host name: {', '.join(wrong)}")
        return cls(tuple(networks), frozenset(hosts))

    def refusal(self, host: str, address: Address) -> str | None:
        """Why the address that `host` was resolved to may not be connected to; None where it may."""
        if host.lower().rstrip(".") in self.allowed_hosts:
            return None
        if any(address.version == network.version and address in network for network in self.allowed_networks):
            return None
        return why_not_public(address)
