"""Text for people to read on a terminal."""


def printable(text: str) -> str:
    """Text with a name in it, without what a terminal would obey."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
