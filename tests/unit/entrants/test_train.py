from __future__ import annotations

import pytest

from podium.entrants.train import read_spec
from podium.errors import InputError


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "names the kind"), ("{}", "names the kind"), ('{"kind": "forest"}', "must be one of transformer, linear")],
)
def test_a_spec_of_no_known_kind_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_spec(text)
