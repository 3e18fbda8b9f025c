"""Shards and manifests."""

import pytest

from kdasr.errors import UserError
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
