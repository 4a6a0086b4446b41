"""What looks like a secret in the words of a command, hidden wherever people see it.

Names decide (the last word of ``--hf-auth-token``, ``X-Api-Key:``, ``?access_token=``), and forms
that issuers give their keys. A library for it was tried: of the cases in the tests detect-secrets
1.5 finds the forms alone, no option and no header, and its import takes 0.2 s of each `status`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HIDDEN = "***"
# The last word of a name, of which the value is a secret.
_WORDS = frozenset({
    "auth", "authorization", "bearer", "cookie", "credential", "credentials", "jwt", "otp",
    "pass", "passphrase", "passwd", "password", "pwd", "secret", "token",
})  # fmt: skip
# The same, where people write it in one word with what stands before: PGPASSWORD, authtoken.
_ENDS = ("apikey", "authorization", "passphrase", "passwd", "password", "secret", "token")
# What makes a key one that opens something; a key alone sorts or indexes.
_OPENS = frozenset({
    "access", "account", "api", "auth", "encryption", "private", "secret", "service", "shared",
    "signing",
})  # fmt: skip
# Tokens of a text and passes over data are no secrets, nor is an option that takes none.
_HARMLESS = frozenset({
    "backward", "bos", "by", "cls", "disable", "dry", "end", "eos", "first", "forward", "image",
    "mask", "max", "min", "multi", "n", "new", "next", "no", "num", "one", "pad", "second",
    "sep", "single", "special", "start", "stop", "two", "unk", "without",
})  # fmt: skip
_NEUTRAL = frozenset({"string", "value"})
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# A word may be long and hostile: no pattern looks at a text more than a bounded number of times.
# Forms as their issuers publish them: GitHub, GitLab, OpenAI and Anthropic, Hugging Face, AWS,
# Slack, Google, npm, PyPI, Stripe, Weights & Biases; JSON Web Tokens (RFC 7519, section 3.1).
_FORMS = re.compile(
    r"\b(gh[pousr]_\w{8,}|github_pat_\w{8,}|gl(?:pat|ptt|dt)-[\w-]{8,}|sk-[\w-]{8,}|hf_\w{8,}"
    r"|A(?:KIA|SIA)[A-Z0-9]{8,}|xox[abeoprs]-[\w-]{8,}|AIza[\w-]{30,}|npm_\w{20,}|pypi-[\w-]{16,}"
    r"|[rs]k_(?:live|test)_\w{8,}|wandb_\w{16,}|eyJ[\w-]{5,512}\.[\w-]{5,}(?:\.[\w-]*)?)"
)
_LOGIN = re.compile(r"(?<!\w)(\w+://)[^/@\s]+@")
_NAME = r"-{0,2}[A-Za-z_][\w.-]*"
# Of an option, a variable, a parameter, a header or a field of JSON, within a longer text.
_NAMED = re.compile(rf"(?<![\w.-])(?P<name>{_NAME})(?P<sign>[\"']?\s*[:=]\s*|\s+)")
_VALUE = re.compile(
    r"""\"[^\"]*\"|'[^']*'|(?:(?:bearer|basic|digest|token)\s+)?[^\s"'&#]+""", re.IGNORECASE
)
_ASSIGNED = re.compile(rf"(?P<name>{_NAME})(?P<sign>=|:\s*).*", re.DOTALL)
_QUERY = re.compile(r"(?<=[?&])(sig|signature|X-Amz-Signature)=[^&\s\"'#]+", re.IGNORECASE)
# Of curl and its like: a name and a password.
_LOGIN_OPTION = re.compile(r"(-u|--user|--proxy-user)")
_PAIR = re.compile(r"(?=[^:/\s]*[^:/\s\d])([^:/\s]+):[^\s/\"']\S*")
_LOGIN_WITHIN = re.compile(rf"(?<!\S)({_LOGIN_OPTION.pattern}[\s=]\s*[\"']?){_PAIR.pattern}")


def redact(argv: Sequence[str]) -> list[str]:
    """The words of a command with what looks like a secret hidden."""
    shown: list[str] = []
    before = ""
    for word in argv:
        assigned = _ASSIGNED.fullmatch(word)
        if before.startswith("-") and _is_secret(before) and not word.startswith("-"):
            shown.append(HIDDEN)
        elif _LOGIN_OPTION.fullmatch(before) and (pair := _PAIR.fullmatch(word)):
            shown.append(f"{pair[1]}:{HIDDEN}")
        elif assigned and _is_secret(assigned["name"]):
            shown.append(f"{assigned['name']}{assigned['sign']}{HIDDEN}")
        else:
            shown.append(_within(word))
        before = word
    return shown


def _within(text: str) -> str:
    """A word that may be a whole script, a document or an address."""
    text = _QUERY.sub(rf"\1={HIDDEN}", _LOGIN.sub(rf"\1{HIDDEN}@", _FORMS.sub(HIDDEN, text)))
    text = _LOGIN_WITHIN.sub(rf"\1\3:{HIDDEN}", text)
    shown, at = [], 0
    while found := _NAMED.search(text, at):
        name, sign = found["name"], found["sign"]
        secret = _is_secret(name) and (not sign.isspace() or name.startswith("-"))
        value = _value(text, found) if secret else None
        shown.append(text[at : found.end("name")])
        at = found.end("name")
        if value is not None:
            shown.append(f"{sign}{HIDDEN}")
            at = value
    return "".join([*shown, text[at:]])


def _value(text: str, found: re.Match[str]) -> int | None:
    """Where the value ends; that of a header in quotes at the next quote."""
    quote = text[found.start() - 1 : found.start()]
    if quote in {"'", '"'} and ":" in found["sign"] and quote not in found["sign"]:
        end = text.find(quote, found.end())
        return len(text) if end < 0 else end
    value = _VALUE.match(text, found.end())
    return None if value is None else value.end()


def _is_secret(name: str) -> bool:
    words = [word.lower() for word in _PART.findall(name)]
    while words and words[-1] in _NEUTRAL:
        words.pop()
    if not words or _HARMLESS.intersection(words[:-1]):
        return False
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    return last in _WORDS or last.endswith(_ENDS) or (last == "key" and before in _OPENS)
