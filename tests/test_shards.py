"""Shards and manifests."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from kdasr.errors import UserError
from kdasr.files import read_json
from kdasr.shards import claim, cut, digest, parse_job, parse_share


def test_cut_keeps_order_and_everything():
    assert cut(list("abcde"), 2) == [["a", "b"], ["c", "d"], ["e"]]
    assert cut([], 2) == []


def test_jobs():
    assert parse_job("3/16") == (3, 16)
    for wrong in ("0/4", "5/4", "x", "1", "1/0"):
        with pytest.raises(UserError, match="expected J/N"):
            parse_job(wrong)


def test_claim_refuses_other_settings(tmp_path):
    claim(tmp_path, {"beam": 5, "model": "ab"})
    claim(tmp_path, {"beam": 5, "model": "ab"})
    with pytest.raises(UserError, match="beam was 5, now 10"):
        claim(tmp_path, {"beam": 10, "model": "ab"})


def test_digest_is_of_the_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    assert digest(tmp_path / "a") == "e3b0c44298fc1c14"


def test_jobs_share_the_missing_shards():
    missing = [0, 1, 4, 5, 6]
    shares = [parse_share(f"{job}/3", merge=False).of(missing, 9, "out") for job in (1, 2, 3)]
    assert shares == [[0, 6], [1, 4], [5]]
    assert parse_share(None, merge=False).of(missing, 9, "out") == missing
    assert parse_share(None, merge=True).of([], 9, "out") == []
    with pytest.raises(UserError, match="out: 5 of 9 shards are missing, the first is 0; run the jobs again"):
        parse_share(None, merge=True).of(missing, 9, "out")
    with pytest.raises(UserError, match="--job and --merge exclude each other"):
        parse_share("1/3", merge=True)


@examples(100)
@given(number=st.integers(0, 12), size=st.integers(1, 13), parts=st.integers(1, 5), there=st.sets(st.integers(0, 12)))
def test_every_key_is_in_one_shard_and_every_shard_is_one_jobs(number, size, parts, there):
    keys = [str(n) for n in range(number)]
    shards = cut(keys, size)
    assert [key for shard in shards for key in shard] == keys
    assert all(len(shard) == size for shard in shards[:-1]) and all(0 < len(shard) <= size for shard in shards)
    missing = [shard for shard in range(len(shards)) if shard not in there]
    shares = [parse_share(f"{job}/{parts}", merge=False).of(missing, len(shards), "out") for job in range(1, parts + 1)]
    assert sorted(shard for share in shares for shard in share) == missing
    for job, share in enumerate(shares, 1):
        assert all(shard % parts == job - 1 for shard in share)


def test_jobs_of_other_forms():
    assert parse_job("1/1") == (1, 1) and parse_job("16/16") == (16, 16)
    for wrong in ("", "/", "1/", "/2", "-1/2", "1/2/3", "1/2 ", " 1/2", "1.0/2", "17/16", "0/0"):
        with pytest.raises(UserError, match="expected J/N with 1 <= J <= N, as in --job 3/16"):
            parse_job(wrong)


def test_jobs_lock_out_themselves_alone():
    locks = [parse_share(job, merge=False).lock for job in (None, "1/1", "1/3", "2/3", "1/2")]
    assert locks == [".lock", ".lock", ".lock.1of3", ".lock.2of3", ".lock.1of2"]
    assert parse_share(None, merge=True).lock == ".lock"


def test_a_merge_of_several_is_for_all():
    assert parse_share(None, merge=True) == (1, 1, True) and parse_share("2/3", merge=False) == (2, 3, False)
    with pytest.raises(UserError, match="out: 1 of 4 shards are missing, the first is 3"):
        parse_share(None, merge=True).of(iter([3]), 4, "out")


@pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 19])
def test_a_digest_is_of_all_bytes(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "a").write_bytes(content[:size])
    assert digest(tmp_path / "a") == hashlib.sha256(content[:size]).hexdigest()[:16]
    (tmp_path / "a").write_bytes(content[: size - 1] + b"!")
    assert digest(tmp_path / "a") != hashlib.sha256(content[:size]).hexdigest()[:16]


def test_a_claim_is_written_once_and_compared_key_by_key(tmp_path):
    settings = {"b": 1, "a": [1, {"x": None}], "c": 0.5}
    claim(tmp_path / "new", settings)
    path = tmp_path / "new" / "manifest.json"
    assert read_json(path) == settings
    before = path.stat().st_mtime_ns, path.read_bytes()
    claim(tmp_path / "new", dict(reversed(settings.items())))
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    for other, said in [
        ({"a": [1, {"x": None}], "c": 0.5}, "b was 1, now None"),
        ({**settings, "d": 2}, "d was None, now 2"),
        ({**settings, "a": [1, {"x": 0}]}, "a was .*, now "),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, "a was .*; b was 1, now 2; c was 0.5, now 3.; remove it, or write to"),
    ]:
        with pytest.raises(UserError, match=said):
            claim(tmp_path / "new", other)
        assert path.read_bytes() == before[1]
