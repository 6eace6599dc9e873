"""Redacts values of name fields (agent, tool, model ...) that look like content, not a name.

The allow-list (`semantics.py`) says which attributes are read; it cannot say what stands in
them. An exception's message as `error.type`, a customer's address in a route, an API key as a
tool's name would stay in Redis keys and alerts. So each name is held to what names look like:

- it does not contain an e-mail address, a payment card's number (14 to 16 digits that pass
  Luhn's check), a telephone number with its +, a US social security number, a key or token in
  a form its issuer made recognisable, credentials or a query in a URL, nor 65 or more letters
  and digits on end;
- it is no prose: at most 5 words where people choose names (agent, tool, service, route,
  workflow, stage, prompt, score), 3 where programs do (model, provider, error class, finish
  reason, release, environment), at most 16 characters of a script without spaces, and no
  question or exclamation.

Full-width forms and invisible characters are folded first. A name that breaks a rule becomes
`_redacted`: all such are one series, so they cannot flood the cardinality either. A trace id
that breaks one becomes its keyed digest, because runs must stay apart. No rule finds
a person's own name as the name of an agent, or a sentence written as one word.
"""

import hmac
import re
import unicodedata

import polars as pl

#: Stands in for a name that holds content.
REDACTED = "_redacted"
#: Column -> how many words it may have. Ids of spans are left out: only hashes of them go on.
WORDS = dict.fromkeys(
    ("service", "agent", "workflow", "route", "stage", "tool", "prompt_name", "handoff_from",
     "handoff_to", "score_name"), 5,
) | dict.fromkeys(
    ("env", "release", "provider", "model", "model_requested", "prompt_version", "error_class",
     "finish_reason"), 3,
)  # fmt: skip
_TRACE_ID_WORDS = 1
_PLAIN_TRACE_ID = "^[0-9a-f]{32}$"
_TRACE_ID_BYTES = 16
_UNSPACED = 16

#: How the forms of keys begin, for a quick search; `_KEYS` has the forms.
_PREFIXES = (
    r"(?i:sk[-_]|[pr]k_(?:live|test)_|gh[a-z]_|github_pat_|xox[a-z]-|a[ks]ia|aiza|ya29\.|hf_|"
    r"glpat-|eyj)"
)
#: How issuers mark their keys: OpenAI and Anthropic, Stripe, GitHub, Slack, AWS, Google, Hugging
#: Face, GitLab, JSON Web Tokens. Whatever their case, since some names are lower-cased.
_KEYS = r"""(?<![A-Za-z0-9])(?i:
      sk[-_](?=[\w-]*\d)[\w-]{20} | [pr]k_(?:live|test)_\w{8} | gh[a-z]_[a-z0-9]{20}
    | github_pat_\w{20} | xox[a-z]-[\w-]{10} | a[ks]ia[a-z0-9]{16}(?![a-z0-9]) | aiza[\w-]{30}
    | ya29\.[\w-]{10} | hf_[a-z0-9]{20} | glpat-[\w-]{16} | eyj[\w-]{8,}\.[\w-]
)"""
_DIGITS = r"(?-u:\b)[2-6](?:[ -]?[0-9]){13}"
_SSN = r"(?-u:\b)[0-9]{3}-[0-9]{2}-[0-9]{4}(?-u:\b)"
_RUN = r"[A-Za-z0-9+/]{65}"
#: Whatever any rule can object to has one of these. Most names of most batches have none.
_SUSPECT = (
    rf"[\x00-\x20@?!=+]|[^\x00-\x7f]|{_DIGITS}|{_SSN}|{_RUN}|{_PREFIXES}|-----"
    r"|(?i:api[-_]?key|passw|secret|token)"
)

_PRIVATE = re.compile(
    rf"""
      \S@[\w.-]+\.[^\W\d_]{{2,}}                          # an e-mail address
    | ://[^/\s]*:[^/\s]*@ | \?\S*=                        # credentials or a query in a URL
    | (?<!\w)\+\d[\d ()-]{{7,}}\d                         # a telephone number
    | \b\d{{3}}-\d{{2}}-\d{{4}}\b                         # a social security number
    | {_KEYS}
    | (?i:bearer\s+\S{{8}}) | -----BEGIN
    | (?i:(?:api[-_ ]?key|passw(?:or)?d|secret|token)\s*[=:]\s*\S)
    | {_RUN}
    """,
    re.VERBOSE,
)
_CARD = re.compile(r"(?<![0-9A-Za-z])[2-6](?:[ -]?[0-9]){13,15}(?![0-9A-Za-z])")
_EXCLAIMED = re.compile(r"[?!](?:\s|$)|[。！？]")
#: Thai to Lao, Burmese, Khmer, kana and Han.
_NO_SPACES = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")


def redact(spans: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """The spans (SPAN_SCHEMA) with every name that holds content replaced.

    `key` is the HMAC key of the digests of trace ids. What a span becomes depends on nothing
    but itself. Columns are searched whole; only distinct suspects are judged one by one.
    """
    columns = [name for name in WORDS if spans[name].null_count() < spans.height]
    suspected = [pl.col(c).unique().str.contains(_SUSPECT).any().alias(c) for c in columns]
    # Of trace ids nearly all differ, and nearly all are of the plain form.
    is_odd = ~pl.col("trace_id").str.contains(_PLAIN_TRACE_ID)
    found = spans.select(*suspected, is_odd.any().alias("trace_id")).row(0, named=True)
    replaced = []
    for column in (name for name, is_suspected in found.items() if is_suspected):
        distinct = spans[column].unique()
        suspects = distinct.filter(distinct.str.contains(_SUSPECT)).to_list()
        words = WORDS.get(column, _TRACE_ID_WORDS)
        private = [name for name in suspects if is_private(name, words)]
        if private:
            instead = [_instead(column, name, key) for name in private]
            replaced.append(pl.col(column).replace(private, instead))
    return spans.with_columns(replaced) if replaced else spans


def _instead(column: str, name: str, key: bytes) -> str:
    if column != "trace_id":
        return REDACTED
    return hmac.digest(key, name.encode(), "sha256")[:_TRACE_ID_BYTES].hex()


def is_private(name: str, words: int) -> bool:
    """Whether `name` breaks a rule of this module, of at most so many words."""
    text = name
    if not name.isascii():
        folded = unicodedata.normalize("NFKC", name)
        text = "".join(c for c in folded if unicodedata.category(c) != "Cf")
        text = "".join(str(unicodedata.digit(c)) if c.isdigit() else c for c in text)
    if _PRIVATE.search(text) or any(_luhn(match[0]) for match in _CARD.finditer(text)):
        return True
    prose = len(text.split()) > words or _EXCLAIMED.search(text) is not None
    return prose or len(_NO_SPACES.findall(text)) > _UNSPACED


def _luhn(number: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1, annex B), which one random number in ten passes."""
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[1::2]]
    return (sum(digits[::2]) + sum(doubled)) % 10 == 0
