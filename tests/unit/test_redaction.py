"""Which words of a command are hidden where people see them, and which are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.report.redaction import redact

# The word that may not be seen stands for itself.
S = "Zq8hunter2"
JWT = f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{S}"
HIDDEN = [
    # options
    ("--token", S), ("--api-key", S), ("--apikey", S), ("--password", S), ("--pass", S),
    ("--passwd", S), ("--hf-auth-token", S), ("--hf_token", S), ("--accessToken", S),
    ("--client-secret", S), ("--aws-secret-access-key", S), ("--secret-string", S),
    (f"--token={S}",), (f"--db-password={S}",), ("--otp", S), ("--jwt", S), (f"--cookie={S}",),
    # variables
    (f"TOKEN={S}",), (f"PGPASSWORD={S}",), (f"WANDB_API_KEY={S}",), (f"MYAUTHTOKEN={S}",),
    (f"HF_TOKEN={S} and more",),
    # headers
    ("-H", f"Authorization: Bearer {S}"), ("-H", f"authorization:Basic {S}"),
    ("--header", f"X-Api-Key: {S}"), ("-H", f"PRIVATE-TOKEN: {S}"), ("-H", f"Cookie: id={S}; a=b"),
    ("--header=Authorization: Bearer " + S,),
    # logins and addresses
    ("-u", f"me:{S}"), ("--user", f"me:{S}"), (f"https://me:{S}@host/x",), (f"s3://{S}@host",),
    (f"https://h/x?access_token={S}&page=2",), (f"https://h/x?page=2&api_key={S}",),
    (f"https://h/blob?sv=2024&sig={S}",), (f"h/x?X-Amz-Signature={S}",),
    # forms
    (JWT,), (f"x{JWT}y".replace("xeyJ", "x eyJ"),), (f"ghp_{S}",), (f"github_pat_{S}",),
    (f"glpat-{S}",), (f"sk-proj-{S}",), (f"sk-ant-{S}",), (f"hf_{S}",), (f"xoxb-{S}",),
    (f"--data=sk-{S}",),
    # scripts
    ("-c", f"run --token {S} --epochs 5"), ("-c", f"run --epochs 5 --token={S}"),
    ("-c", f"cd x; TOKEN={S} python x.py"), ("-c", f"export API_KEY='{S}'"),
    ("-c", f'curl -H "Authorization: Bearer {S}" http://h'), ("-c", f"curl -H 'X-Api-Key: {S}' h"),
    ("-c", f"curl -H 'Authorization: Custom one {S}' h"), ("-c", f"curl -u me:{S} http://h"),
    ("-c", f"curl 'http://h/?token={S}'"), ("-c", f'mysql --password="a {S}" x'),
    ("-c", f"echo {JWT}"), ("-c", f"a --password\n{S}"),
    # documents
    ("-d", f'{{"token": "{S}", "n": 5}}'), ("-d", f'{{"api_key":"{S}"}}'), (f"password: {S}",),
]  # fmt: skip
SEEN = [
    ("--max-tokens", "512"), ("--max_tokens=512",), ("--tokenizer", "bert"), ("--tokenizer=bert",),
    ("--num-tokens", "1e9"), ("--max-token", "5"), ("--token-limit", "5"), ("--tokens", "5"),
    ("--pad-token", "<pad>"), ("--eos-token=</s>",), ("--mask_token", "[MASK]"),
    ("--author", "ann"), ("--authors=ann,bob",), ("--key", "name"), ("--sort-key=time",),
    ("--passes", "3"), ("--single-pass", "x"), ("--bypass", "x"), ("--compass=N",),
    ("--no-auth", "x.py"), ("--secretary", "ann"), ("--password-file", "/run/pw"),
    ("--token-env", "HF"), ("--secrets-dir", "/run"), ("--keyboard", "de"), ("--monkey", "x"),
    ("--epochs", "5", "--lr", "0.1"), ("python", "train.py", "--data=/x/y.tar"),
    ("-u", "1000:1000"), ("--user", "ann"), ("python", "-u", "x.py"), ("-v", "/a:/b"),
    ("http://h:8080/x?page=2#a",), ("git@host:x/y.git",), ("2026-12-01T10:00:00Z",),
    ("-c", "python train.py --max_tokens 512 --tokenizer bert --lr 0.1 && echo done"),
    ("-c", "for t in a b; do echo $t: ok; done"), ("-d", '{"max_tokens": 5, "model": "x"}'),
    ("-H", "Content-Type: application/json"), ("", "-", "--", "=", ":", "a=b", "sk-x", "eyJ.x"),
]  # fmt: skip


@pytest.mark.parametrize("words", HIDDEN, ids=" ".join)
def test_a_secret_is_hidden_and_the_words_around_it_are_seen(words: tuple[str, ...]) -> None:
    shown = redact(["run", *words, "tail"])
    assert S not in " ".join(shown)
    assert (shown[0], shown[-1], len(shown)) == ("run", "tail", len(words) + 2)
    assert "***" in " ".join(shown)


@pytest.mark.parametrize("words", SEEN, ids=" ".join)
def test_what_only_sounds_like_a_secret_is_seen(words: tuple[str, ...]) -> None:
    assert redact(["run", *words, "tail"]) == ["run", *words, "tail"]


def test_of_a_script_only_the_secrets_are_hidden() -> None:
    script = "set -e; T=1 TOKEN=abc run --pass 'x y' --n 5 https://h/?a=1&token=q&b=2"
    left = "set -e; T=1 TOKEN=*** run --pass *** --n 5 https://h/?a=1&token=***&b=2"
    assert redact(["sh", "-c", script]) == ["sh", "-c", left]


secrets = st.text(st.characters(categories=["L", "N"]), min_size=8, max_size=20).map(
    lambda s: f"Zq{s}"
)


@given(secrets, st.sampled_from(["--api-key", "--token", "--password", "--hf-auth-token"]))
def test_a_secret_after_its_option_is_hidden(secret: str, option: str) -> None:
    for argv in ([option, secret], [f"{option}={secret}"], [f"{option.upper()[2:]}={secret}"]):
        assert secret not in " ".join(redact(["run", *argv, "tail"]))
        assert redact(["run", *argv, "tail"])[-1] == "tail"


@given(st.sampled_from(["sk-", "ghp_", "hf_"]), st.text("abcdef0123456789", min_size=12))
def test_a_known_kind_of_key_is_hidden_wherever_it_stands(prefix: str, rest: str) -> None:
    assert rest not in redact([f"x={prefix}{rest}"])[0]


def test_a_login_in_an_address_is_hidden() -> None:
    assert redact(["http://me:pw@host/x"]) == ["http://***@host/x"]
    assert redact(["python", "train.py", "--epochs", "5"]) == [
        "python", "train.py", "--epochs", "5",
    ]  # fmt: skip


@given(st.lists(st.text(max_size=30), max_size=5))
def test_any_words_are_shown_in_as_many(words: list[str]) -> None:
    shown = redact(words)
    assert len(shown) == len(words)
    assert redact(["--epochs", "5"]) == ["--epochs", "5"]
