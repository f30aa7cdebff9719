"""Which addresses are public enough to fetch from."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfnet_client.url_images.address_policy import NOT_PUBLIC, AddressPolicy, why_not_public

ADDRESSES = st.ip_addresses()
IPV4 = st.ip_addresses(v=4).map(IPv4Address)


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1", "loopback"),
        ("127.255.255.255", "loopback"),
        ("0.0.0.0", "this network"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "CGNAT"),
        ("100.100.100.200", "CGNAT"),  # Alibaba's metadata
        ("169.254.169.254", "link-local"),  # everyone else's
        ("192.0.0.192", "protocols"),  # Oracle's
        ("168.63.129.16", "Azure"),
        ("192.0.2.1", "documentation"),
        ("198.51.100.1", "documentation"),
        ("203.0.113.1", "documentation"),
        ("198.18.0.1", "benchmarks"),
        ("192.88.99.1", "6to4"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        ("::7f00:1", "not global unicast"),  # IPv4-compatible, of old
        ("::ffff:127.0.0.1", "IPv4-mapped"),
        ("::ffff:8.8.8.8", "IPv4-mapped"),
        ("64:ff9b::a00:1", "NAT64"),
        ("64:ff9b::808:808", "NAT64"),
        ("64:ff9b:1::1", "NAT64"),
        ("100::1", "not global unicast"),
        ("2001::1", "Teredo"),
        ("2001:2::1", "protocols"),
        ("2001:20::1", "protocols"),
        ("2001:db8::1", "documentation"),
        ("3fff::1", "documentation"),
        ("2002:7f00:1::", "6to4"),
        ("5f00::1", "not global unicast"),
        ("fc00::1", "unique-local"),
        ("fd00:ec2::254", "unique-local"),  # AWS' metadata
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("fec0::1", "site-local"),
        ("ff02::1", "multicast"),
        ("2606:4700::1%eth0", "not global unicast"),
    ],
)
def test_addresses_that_are_not_public_are_refused_by_name(address: str, reason: str) -> None:
    assert reason in str(AddressPolicy().refusal("host", ip_address(address)))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "11.0.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.15", "172.15.255.255", "172.32.0.0",
     "192.0.1.0", "192.167.255.255", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888", "2606:4700::1111"],
)  # fmt: skip
def test_public_addresses_are_permitted_up_to_the_edges(address: str) -> None:
    assert AddressPolicy().refusal("host", ip_address(address)) is None


@given(ADDRESSES)
def test_nothing_is_permitted_that_the_standard_library_calls_special(address: IPv4Address | IPv6Address) -> None:
    if why_not_public(address) is None:
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.sampled_from(NOT_PUBLIC), st.data())
def test_no_address_of_a_refused_network_gets_through(entry: tuple[object, str], data: st.DataObject) -> None:
    network = entry[0]
    address = data.draw(st.ip_addresses(network=network))  # type: ignore[arg-type]
    assert why_not_public(address) is not None


@given(IPV4)
def test_an_ipv4_address_inside_an_ipv6_one_is_refused_whatever_it_is(inner: IPv4Address) -> None:
    number = int(inner)
    forms = [
        0xFFFF << 32 | number,  # IPv4-mapped
        number,  # IPv4-compatible
        0x64FF9B << 96 | number,  # NAT64, 64:ff9b::/96
        0x64FF9B0001 << 80 | number,  # 64:ff9b:1::/48
        0x2002 << 112 | number << 80,  # 6to4
        0x20010000 << 96 | (number ^ 0xFFFFFFFF),  # Teredo
    ]
    assert [str(form) for form in map(IPv6Address, forms) if why_not_public(form) is None] == []


@given(IPV4)
def test_an_allowed_network_permits_its_own_addresses_and_no_others(address: IPv4Address) -> None:
    policy = AddressPolicy.allowing(["10.1.0.0/16"])
    expected = None if str(address).startswith("10.1.") else why_not_public(address)
    assert policy.refusal("host", address) == expected


def test_an_allowed_network_does_not_permit_its_addresses_in_disguise() -> None:
    policy = AddressPolicy.allowing(["10.0.0.0/8"])
    assert policy.refusal("host", ip_address("::ffff:10.0.0.1")) is not None
    assert policy.refusal("host", ip_address("64:ff9b::a00:1")) is not None


def test_an_allowed_host_may_be_anywhere_and_only_it_may() -> None:
    policy = AddressPolicy.allowing([" Images.Internal. ", "fd12::7", "127.0.0.1"])
    private = ip_address("10.9.8.7")
    assert policy.refusal("images.internal", private) is None
    assert policy.refusal("IMAGES.internal.", private) is None
    assert policy.refusal("evil-images.internal", private) is not None
    assert policy.refusal("images.internal.evil", private) is not None
    assert policy.refusal("other", ip_address("fd12::7")) is None
    assert policy.refusal("other", ip_address("fd12::8")) is not None
    assert policy.refusal("other", ip_address("127.0.0.1")) is None


def test_all_wrong_entries_are_listed_at_once() -> None:
    entries = ["10.0.0.1/8", "good.host", "10.0.0.300", "http://host", "a b", "", "10.0.0.0/99"]
    with pytest.raises(ValueError, match="neither a network") as caught:
        AddressPolicy.allowing(entries)
    for entry in ("10.0.0.1/8 has host bits set", "'10.0.0.300'", "'http://host'", "'a b'", "''", "'10.0.0.0/99'"):
        assert entry in str(caught.value)
    assert "good.host" not in str(caught.value)
