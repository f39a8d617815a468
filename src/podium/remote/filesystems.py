"""How a URI is opened, and the errors when that, or reading it, does not work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from podium.errors import ConfigError, InputError, PodiumError, StoreError, disk_full_message, is_disk_full
from podium.text import redact

_ALIASES = {"s3a": "s3", "gcs": "gs", "http": "https"}
_EXTRAS = {"s3": "s3", "gs": "gcs"}
_ACCESS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws, or the role of the machine or pod "
    "(AWS_ENDPOINT_URL names a server other than Amazon's; FSSPEC_S3_ANON=true reads a public bucket)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS, `gcloud auth application-default login`, or workload identity",
    "hf": "HF_TOKEN or `hf auth login`",
    "https": "~/.netrc",
}
_NO_CREDENTIALS = re.compile(
    r"NoCredentials|PartialCredentials|CredentialRetrieval|DefaultCredentials|RefreshError|SSO"
)
_NO_CONNECTION = re.compile(r"Connect|Timeout|gaierror|SSL|Certificate|Proxy|DNS")


def scheme_of(uri: str) -> str:
    """The protocol of a URI, under one name where it has several."""
    given = uri.partition("://")[0]
    return _ALIASES.get(given, given)


def open_uri(uri: str, what: str) -> tuple[Any, str]:
    """The fsspec file system of a URI, and its path there; `what` is what messages call that which the URI names.

    Listings are not cached: others write there, too.

    Raises:
        InputError: no file system is known under that protocol, or its package is not installed.
    """
    import fsspec

    scheme, options = scheme_of(uri), dict[str, Any]()
    try:
        if scheme == "https":
            from aiohttp import ClientTimeout

            waits = ClientTimeout(total=None, sock_connect=15, sock_read=60)
            options["client_kwargs"] = {"trust_env": True, "timeout": waits}
        # The hub's digests are in its cached listings alone.
        fs, root = fsspec.url_to_fs(uri, use_listings_cache=scheme == "hf", **options)
    except ImportError as error:
        extra = f"`pip install 'podium[{_EXTRAS[scheme]}]'`" if scheme in _EXTRAS else "install it"
        raise InputError(
            f"the {what} {redact(uri)!r} needs a package that is not installed: {error}; {extra}, or use a local path"
        ) from error
    except ValueError as error:
        raise InputError(
            f"a {what} is a path or an fsspec URI such as s3://bucket/path, but got {redact(uri)!r}: {error}"
        ) from error
    return fs, root.rstrip("/")


def refuse_credentials(uri: str) -> None:
    """Raise ConfigError for the URI of a file that holds a password, a token or a signature.

    It would be kept in records, logs and MLflow. Database URLs are no such URIs: they are redacted wherever shown.
    """
    import fsspec

    if redact(uri) != uri and uri.partition("://")[0] in fsspec.available_protocols():
        raise ConfigError(
            f"a URI of data or of a model must hold no credentials, because it is recorded, but got {redact(uri)}; "
            f"give them by {_access(uri)}, or download the file and give its path"
        )


@contextmanager
def explained(uri: str, cache: Path) -> Iterator[None]:
    """Turn what libraries raise while `uri` is fetched into `cache` into errors that say what to do."""
    try:
        yield
    except PodiumError:
        raise
    except Exception as error:
        move = "set XDG_CACHE_HOME to a directory on another disk"
        if is_disk_full(error):
            raise StoreError(f"cannot fetch {uri}: {disk_full_message(error, cache, move)}") from error
        if isinstance(error, OSError) and str(error.filename or "").startswith(str(cache)):
            raise StoreError(f"cannot fetch {uri}: {cache} must be writable, but: {error}; {move}") from error
        raise InputError(f"{uri} {_reason(error, uri)}") from error


def _reason(error: BaseException, uri: str) -> str:
    chain = [error]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    names = " ".join(type(one).__name__ for one in chain)
    statuses = {_status(one) for one in chain}
    said = redact(" ".join(str(error).split())) or type(error).__name__
    if "OfflineMode" in names:
        return "cannot be asked for, because HF_HUB_OFFLINE is set; unset it, or give a local path"
    if _NO_CREDENTIALS.search(names) or 401 in statuses:
        return f"needs credentials, but none were found or accepted ({said}); give them by {_access(uri)}"
    if 403 in statuses or any(isinstance(one, PermissionError) for one in chain):
        return f"may not be read with the credentials in use ({said}); they come from {_access(uri)}"
    if _NO_CONNECTION.search(names) or any(isinstance(one, ConnectionError) for one in chain):
        return (
            f"cannot be reached ({redact(' '.join(str(chain[-1]).split()))}); check the address and the network, then "
            "run the same command again"
        )
    if 404 in statuses or (isinstance(error, FileNotFoundError) and not statuses - {None}):
        return f"does not exist ({said}); check the address"
    return f"cannot be read ({names}: {redact(str(chain[-1]))})"


def _status(error: BaseException) -> int | None:
    """The HTTP status in an error of aiohttp, gcsfs, botocore or the hub."""
    answer = getattr(error, "response", None)
    if isinstance(answer, dict):
        answer = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
    status = getattr(error, "status", None) or getattr(error, "code", None) or getattr(answer, "status_code", answer)
    return status if isinstance(status, int) else None


def _access(uri: str) -> str:
    return _ACCESS.get(scheme_of(uri), "the environment")
