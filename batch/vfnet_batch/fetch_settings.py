"""Where the images of a batch may be fetched from: lists and annotations may be somebody else's."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from vfnet_client.contract import is_url
from vfnet_client.url_images.address_policy import AddressPolicy

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")


@dataclass(frozen=True)
class FetchSettings:
    """What a batch fetches without being asked, and what it was asked for. Travels to a cluster's actors.

    Attributes:
        policy: the addresses that http and https may lead to.
        schemes: of URLs, in lower case, that are fetched by their fsspec driver.
    """

    policy: AddressPolicy = field(default_factory=AddressPolicy)
    schemes: frozenset[str] = frozenset()

    @classmethod
    def chosen(cls, given: str, allow_urls_to: Iterable[str], allow_schemes: Iterable[str]) -> FetchSettings:
        """From a person's words; the INPUT that the person named is asked for by that.

        Args:
            given: INPUT.
            allow_urls_to: networks, addresses and host names, see `AddressPolicy.allowing`.
            allow_schemes: such as `s3`.

        Raises:
            ValueError: says which of them makes no sense.
        """
        policy = AddressPolicy.allowing(allow_urls_to)
        schemes = {scheme.lower().removesuffix("://") for scheme in allow_schemes}
        if wrong := sorted(scheme for scheme in schemes if not _SCHEME.fullmatch(scheme)):
            raise ValueError(f"not the scheme of a URL: {wrong[0]!r}; expected is a name such as s3")
        if is_url(given) and "::" not in given:
            policy = policy.and_host(urlsplit(given).hostname or "")
        elif "://" in given or "::" in given:
            schemes |= schemes_of(given)
        return cls(policy, frozenset(schemes))

    def to_json(self) -> dict[str, list[str] | None]:
        """For the plan: with other settings other images could be had. None is the default."""
        places = [*map(str, self.policy.allowed_networks), *sorted(self.policy.allowed_hosts)]
        return {"allow_urls_to": places or None, "allow_schemes": sorted(self.schemes) or None}

    def refusal(self, url: str) -> str | None:
        """Why a URL is not fetched, as far as its words say; None where it is."""
        if is_url(url) and "::" not in url:
            return None
        unasked = sorted(schemes_of(url) - self.schemes)
        if not unasked:
            return None
        return f"URLs of {', '.join(unasked)} are fetched only where --allow-schemes {' '.join(unasked)} says so"


def schemes_of(url: str) -> frozenset[str]:
    """The schemes of a URL, and of all that it is chained to (`simplecache::s3://bucket/a.jpg`)."""
    return frozenset(
        part.partition("://")[0].lower() for part in url.split("::") if "://" in part or _SCHEME.fullmatch(part)
    )
