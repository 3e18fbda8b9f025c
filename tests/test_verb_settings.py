"""A command's settings: of a file, of NAME=VALUE over it, each of its default's kind; and a directory of them."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdasr.errors import UserError
from kdasr.files import write_json
from kdasr.settings import NOT_NEGATIVE, POSITIVE, SHARE, SHARE_BELOW_1, at_least, check_begun, check_least, read


@dataclasses.dataclass(frozen=True)
class Kind:
    units: int = 3
    rate: float = 0.5
    name: str = "relu"
    tied: bool = False


def test_a_file_and_changes_over_it(tmp_path):
    assert read(Kind, None, [], "conf/") == Kind()
    path = tmp_path / "c.yaml"
    path.write_text("units: 7\nrate: 1e-3\n")
    assert read(Kind, path, [], "conf/") == Kind(7, 0.001)
    found = read(Kind, path, ["units=8", "name=a=b", "tied=true", "rate=2", "units=9"], "conf/")
    assert found == Kind(9, 2.0, "a=b", True) and type(found.rate) is float


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("unit=3", "no setting 'unit'; expected units"),
        ("zzz=3", "no setting 'zzz'; expected units, rate, name, tied"),
        ("units", "--set units: expected NAME=VALUE"),
        ("units=[", "--set units=[: its value is not YAML"),
        ("units=true", "units is True, expected int, as in 3"),
        ("units=2.0", "units is 2.0, expected int"),
        ("rate=true", "rate is True, expected float, as in 0.5"),
        ("rate=fast", "rate is 'fast', expected float"),
        ("name=3", "name is 3, expected str"),
        ("tied=1", "tied is 1, expected bool"),
        ("units=", "units is None, expected int"),
    ],
)
def test_what_cannot_be_is_said(tmp_path, change, said):
    with pytest.raises(UserError) as error:
        read(Kind, None, [change], "conf/")
    assert said in str(error.value)
    name, equals, value = change.partition("=")
    if equals and value != "[":  # of a file the file is named
        (tmp_path / "c.yaml").write_text(f"{name}: {value}\n")
        with pytest.raises(UserError, match=r"c\.yaml: "):
            read(Kind, tmp_path / "c.yaml", [], "conf/")


def test_a_file_without_settings(tmp_path):
    (tmp_path / "c.yaml").write_text("# nothing\n")
    with pytest.raises(UserError, match="expected lines `name: value`; see conf/"):
        read(Kind, tmp_path / "c.yaml", ["units=3"], "conf/")


MADE = st.fixed_dictionaries({name: st.integers(0, 1) for name in ("data", "seed", "teachers")})


@given(MADE, MADE)
def test_a_directory_is_gone_on_with_by_the_same_settings_only(tmp_path_factory, there, made):
    out = tmp_path_factory.mktemp("m")
    check_begun(out, made)  # nothing was begun
    write_json(out / "settings.json", {**there, "of an older version": 1})
    differing = [name for name in made if there[name] != made[name]]
    if not differing:
        check_begun(out, made)
        return
    with pytest.raises(UserError) as error:
        check_begun(out, made)
    name = differing[0]
    assert str(error.value) == (
        f"{out}: was begun with another {name} ({there[name]}, now {made[name]}); remove the directory, or name another"
    )


@pytest.mark.parametrize("name", ["data", "seed"])
def test_a_setting_that_the_directory_lacks_differs(tmp_path, name):
    made = {"data": "a", "seed": 1}
    write_json(tmp_path / "settings.json", {key: value for key, value in made.items() if key != name})
    with pytest.raises(UserError, match=rf"was begun with another {name} \(None, now {made[name]}\)"):
        check_begun(tmp_path, made)


@pytest.mark.parametrize(("value", "least"), [(0, 1), (-1, 0), (float("nan"), 0)])
def test_a_number_that_is_too_small_is_said(value, least):
    check_least("nj", least, least)
    check_least("nj", least + 5, least)
    with pytest.raises(UserError) as error:
        check_least("nj", value, least)
    assert str(error.value) == f"--nj {value}: expected {least} or more"


@pytest.mark.parametrize(
    ("allowed", "expected", "right", "wrong"),
    [
        (POSITIVE, "a number above 0", (1e-9, 5.0), (0.0, -1.0)),
        (NOT_NEGATIVE, "0 or more", (0.0, 5.0), (-1e-9,)),
        (SHARE, "a share from 0 to 1", (0.0, 1.0), (-0.001, 1.001)),
        (SHARE_BELOW_1, "a share from 0 to below 1", (0.0, 0.999), (-0.001, 1.0)),
        (at_least(5), "5 or more", (5.0, 6.0), (4.999,)),
    ],
)
def test_edges_of_ranges(tmp_path, allowed, expected, right, wrong):
    for value in right:
        assert read(Kind, None, [f"rate={value}"], "conf/", {"rate": allowed}).rate == value
    for value in wrong:
        with pytest.raises(UserError) as error:
            read(Kind, None, [f"rate={value}"], "conf/", {"rate": allowed})
        assert str(error.value) == f"--set: rate is {value}, expected {expected}"
    (tmp_path / "c.yaml").write_text(f"rate: {wrong[0]}\n")
    with pytest.raises(UserError, match=r"c\.yaml: rate is "):
        read(Kind, tmp_path / "c.yaml", [], "conf/", {"rate": allowed})


def test_numbers_are_finite_where_ranges_are_checked():
    assert read(Kind, None, ["rate=.inf"], "conf/").rate == float("inf")
    for value in ("inf", "nan"):
        with pytest.raises(UserError, match=f"rate is {value}, expected a finite number"):
            read(Kind, None, [f"rate=.{value}"], "conf/", {})
