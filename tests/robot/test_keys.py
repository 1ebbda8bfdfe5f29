"""Key files: private, whole, and refused with a way out otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from robot import keys
from robot.errors import SandlotError
from robot.transport import new_pair


def test_a_pair_comes_back_and_is_private(tmp_path: Path) -> None:
    pair = new_pair()
    private, public = keys.write_pair(tmp_path, "racer", pair)
    assert keys.load_pair(private) == pair
    assert keys.load_public(public) == keys.load_public(private) == pair.public
    assert private.stat().st_mode & 0o777 == 0o600
    assert pair.secret not in public.read_text()
    assert pair.secret not in repr(pair)


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    keys.write_pair(tmp_path, "racer", new_pair())
    with pytest.raises(SandlotError, match="exists"):
        keys.write_pair(tmp_path, "racer", new_pair())


def test_a_key_that_others_can_read_is_refused_with_the_command_that_mends_it(tmp_path: Path) -> None:
    private, _ = keys.write_pair(tmp_path, "racer", new_pair())
    private.chmod(0o640)
    with pytest.raises(SandlotError, match=f"chmod 600 {private}"):
        keys.load_pair(private)


@pytest.mark.parametrize(
    "text", ["", "rubbish", 'public = "short"', "public = 3", "public = '" + "\\" * 40 + "'"]
)
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.pub"
    path.write_text(text)
    with pytest.raises(SandlotError, match="sandlot keys"):
        keys.load_public(path)
    with pytest.raises(SandlotError, match="sandlot keys"):
        keys.load_public(tmp_path / "absent.pub")


def test_an_empty_allow_list_is_an_error_not_an_open_door(tmp_path: Path) -> None:
    with pytest.raises(SandlotError, match="no public keys"):
        keys.load_allowed(tmp_path / "absent")
    pairs = [new_pair(), new_pair()]
    for name, pair in zip("ab", pairs, strict=True):
        keys.write_pair(tmp_path, name, pair)
    assert keys.load_allowed(tmp_path) == {pair.public for pair in pairs}


def test_a_session_key_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "session.key"
    assert keys.make_session_key(path) == keys.load_session_key(path)
    path.write_text('session = "00"\n')
    with pytest.raises(SandlotError, match="no session key"):
        keys.load_session_key(path)
