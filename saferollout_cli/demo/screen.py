"""The screen: what the demo shows while it runs: steps, traffic, the users' requests."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from saferollout.report.outcome import StepRun, seconds

MARKS = {"Completed": "[green]✔[/]", "Failed": "[red]✘[/]", "Crashed": "[red]✘[/]", "Cached": "[green]✔[/]"}
COLOURS = {"blue": "dodger_blue2", "green": "green3"}


@dataclass
class Shown:
    """Everything on the screen."""

    title: str
    status: str = "starting"
    link: str = ""
    traffic: dict[str, int] = field(default_factory=dict)
    instances: dict[str, int] = field(default_factory=dict)
    steps: Sequence[StepRun] = ()
    total: int = 0
    failed: int = 0


class Screen:
    """A live display in a terminal; elsewhere a line for each change."""

    def __init__(self, console: Console, shown: Shown) -> None:
        self._console = console
        self._shown = shown
        self._spinner = Spinner("dots")
        self._live = self._display()
        self._printed: set[tuple[str, str]] = set()

    def __enter__(self) -> Self:
        self.resume()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def pause(self) -> None:
        """Leave the terminal to somebody else; `resume` takes it back."""
        self._live.stop()

    def resume(self) -> None:
        """Show the live display."""
        if self._console.is_terminal:
            self._live = self._display()  # one that was stopped would draw over what was printed meanwhile
            self._live.start()

    def _display(self) -> Live:
        return Live(get_renderable=self._draw, console=self._console, refresh_per_second=4, transient=True)

    def status(self, text: str) -> None:
        """Say what is going on."""
        self._shown.status = text
        self._line("status", text)

    def update(self) -> None:
        """Where there is no terminal: print the steps that are new."""
        for step in self._shown.steps:
            if step.state in MARKS:
                self._line(step.name, f"{MARKS[step.state]} {step.name} ({seconds(step.duration_s)})")

    def _line(self, about: str, text: str) -> None:
        if not self._console.is_terminal and (about, text) not in self._printed:
            self._printed.add((about, text))
            self._console.print(text, highlight=False)

    def _draw(self) -> RenderableType:
        shown = self._shown
        steps = Table.grid(padding=(0, 1))
        for step in shown.steps:
            mark = Text.from_markup(MARKS[step.state]) if step.state in MARKS else self._spinner
            steps.add_row(mark, step.name, Text(seconds(step.duration_s), style="dim"))
        traffic = Table.grid(padding=(0, 1))
        for name in sorted(shown.instances):
            share = shown.traffic.get(name, 0)
            bar = ProgressBar(
                total=100,
                completed=share,
                width=30,
                complete_style=COLOURS.get(name, "magenta"),
                finished_style=COLOURS.get(name, "magenta"),
            )
            traffic.add_row(name, bar, f"{share}%", Text(f"{shown.instances[name]} instance(s)", style="dim"))
        style = "red" if shown.failed else "green"
        users = Text.assemble("users: ", (f"{shown.total:,} requests", "bold"), ", ", (f"{shown.failed} failed", style))
        body: list[RenderableType] = []
        if shown.steps:
            body += [steps, Text(), traffic, Text()]
        if shown.total:
            body.append(users)
        status = Table.grid(padding=(0, 1))
        status.add_row(*([] if shown.steps else [self._spinner]), Text(shown.status, style="yellow"))
        body.append(status)
        if shown.link:
            body.append(Text(shown.link, style="dim"))
        return Panel(Group(*body), title=shown.title, border_style="cyan")
