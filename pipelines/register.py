"""Registers the compiled pipeline with Kubeflow Pipelines: `python -m podium.pipelines.register --endpoint URL`.

A version is named by the digest of what is registered, so that the same one is registered once.
"""

import argparse
import json
import sys
import tempfile
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from podium import __version__
from podium.config.pods import IMAGE
from podium.keys import digest_bytes

if TYPE_CHECKING:
    from kfp import Client


class Registered(NamedTuple):
    """A version of the pipeline that a server has.

    Attributes:
        line: what was done, for people.
    """

    pipeline_id: str
    version_id: str
    line: str


def compiled(image: str = IMAGE) -> tuple[str, str]:
    """The compiled pipeline with this image, and the name of its version."""
    text = files("podium.pipelines").joinpath("champion", "pipeline.yaml").read_text(encoding="utf-8")
    text = text.replace(IMAGE, image)
    return text, f"{__version__}-{digest_bytes(text.encode())[:12]}"


def register(client: "Client", name: str, image: str = IMAGE, namespace: str = "") -> Registered:
    """Register the pipeline unless this version of it is known already.

    Args:
        client: of the server.
        name: of the pipeline.
        image: that its components run in.
        namespace: of the profile that the pipeline belongs to; empty for a pipeline that everybody sees.
    """
    text, version = compiled(image)
    named = json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})
    found = client.list_pipelines(filter=named, namespace=namespace or None).pipelines or []
    # The first version of a pipeline has the pipeline's name; its own one is in the description.
    known = (
        {
            found[0].description if one.display_name == name else one.display_name: one
            for one in _versions(client, found[0].pipeline_id)
        }
        if found
        else {}
    )
    if version in known:
        return Registered(
            found[0].pipeline_id, known[version].pipeline_version_id, f"pipeline {name} has version {version} already"
        )
    line = f"registered version {version} of pipeline {name}"
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / "pipeline.yaml"
        package.write_text(text, encoding="utf-8")
        if found:
            made = client.upload_pipeline_version(str(package), version, found[0].pipeline_id)
            return Registered(made.pipeline_id, made.pipeline_version_id, line)
        made = client.upload_pipeline(str(package), name, version, namespace or None)
        (first,) = _versions(client, made.pipeline_id)
        return Registered(made.pipeline_id, first.pipeline_version_id, line)


def _versions(client: "Client", pipeline: str) -> list:
    found = []
    token = ""
    while True:
        page = client.list_pipeline_versions(pipeline, page_token=token, page_size=100)
        found += page.pipeline_versions or []
        token = page.next_page_token
        if not token:
            return found


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m podium.pipelines.register", description="Register the compiled pipeline, once."
    )
    parser.add_argument("--endpoint", required=True, help="URL of the API of Kubeflow Pipelines")
    parser.add_argument("--name", default="podium-champion", help="name of the pipeline")
    parser.add_argument("--image", default=IMAGE, help="image that its components run in")
    parser.add_argument("--namespace", default="", help="profile that it belongs to; everybody's when left out")
    parser.add_argument("--token", action="store_true", help="identify by the projected token of the service account")
    given = parser.parse_args()
    from kfp import Client
    from kfp.client import ServiceAccountTokenVolumeCredentials
    from kfp_server_api.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        client = Client(given.endpoint, credentials=ServiceAccountTokenVolumeCredentials() if given.token else None)
        print(register(client, given.name, given.image, given.namespace).line)
    except (ApiException, HTTPError, TimeoutError) as error:
        sys.exit(
            f"error: {given.endpoint} must be the API of Kubeflow Pipelines, but registering the pipeline failed: "
            f"{error}; correct registration.endpoint, or the rights of the service account (registration.token)"
        )


if __name__ == "__main__":
    main()
