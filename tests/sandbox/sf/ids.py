"""Record ids: 15 characters where case counts, and three more that say which of them are capitals."""
from functools import lru_cache

SUFFIX = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LETTERS = frozenset(DIGITS)


def suffix(id15):
    out = ""
    for part in (id15[0:5], id15[5:10], id15[10:15]):
        out += SUFFIX[sum(1 << i for i, c in enumerate(part) if "A" <= c <= "Z")]
    return out


@lru_cache(65536)
def canonical(text):
    """The 18 characters of an id given with 15 or 18, or None. Case is restored from the suffix of a long one."""
    if len(text) == 15:
        return text + suffix(text) if LETTERS.issuperset(text) else None
    if len(text) != 18 or not LETTERS.issuperset(text):
        return None
    out = ""
    for n in range(3):
        bits = SUFFIX.find(text[15 + n].upper())
        if bits < 0:
            return None
        for i, c in enumerate(text[5 * n:5 * n + 5]):
            capital = bits >> i & 1
            if capital and not c.isalpha():
                return None
            out += c.upper() if capital else c.lower()
    return out + text[15:].upper()


def base62(number, width):
    out = ""
    while number:
        number, digit = divmod(number, 62)
        out = DIGITS[digit] + out
    return out.rjust(width, "0")


def make(prefix, number, pod="5g"):
    """The id of the nth record under a prefix; neighbours differ in case, as real ones do."""
    id15 = prefix + pod + base62(number * 13 + 36 * 62 ** 3, 10)
    return id15 + suffix(id15)
