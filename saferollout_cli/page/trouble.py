"""What the page says, in plain words, when something cannot be done."""


class Trouble(Exception):
    """A page that says what is wrong, and where to go on."""

    def __init__(self, status: int, title: str, text: str, link: tuple[str, str] = ("All approvals", "/")) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.text = text
        self.link = link
        """What leads on: its words and its address."""
