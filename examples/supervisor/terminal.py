"""What may be shown of what is stored, since agents can write anything into it."""


def harmless(text: str) -> str:
    """Return the text with all spelled out that a terminal would obey and not show."""
    return "".join(
        character
        if character.isprintable() or character in "\n\t"
        else character.encode("unicode_escape").decode()
        for character in text
    )
