"""The alphabets of the toy world: each character is a class."""

from robust_transfer.errors import DataError, did_you_mean

# Sorted by code point, as class names are everywhere else. `accents` is the fine-grained set:
# its classes differ by a few pixels above the same four bodies.
ALPHABETS: dict[str, tuple[str, ...]] = {
    "letters": tuple("ABDEHKNRSTXZ"),
    "digits": tuple("0123456789"),
    "greek": tuple("αβγδεζηθλμξπσφψω"),
    "cyrillic": tuple("БГДЖИЛПФЦЧШЫЭЮЯ"),
    "accents": tuple("aeouàáâäèéêëòóôöùúûü"),
}


def characters(alphabet: str) -> tuple[str, ...]:
    """Return the characters of an alphabet, sorted: the class names.

    Raises:
        DataError: no such alphabet.
    """
    if alphabet not in ALPHABETS:
        raise DataError(
            f"toy dataset, alphabet: there is no '{alphabet}'.\n"
            f"  Choose one of {', '.join(ALPHABETS)}.{did_you_mean(alphabet, ALPHABETS)}"
        )
    return ALPHABETS[alphabet]
