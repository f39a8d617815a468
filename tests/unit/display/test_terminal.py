import io

from rich.console import Console

from podium.display.terminal import joined, say, say_facts


def test_names_stand_beside_every_line_of_what_is_said_of_them() -> None:
    console = Console(file=io.StringIO(), width=20)
    say_facts(console, {"Verdict": "PROMOTE [x]\n- better", "Trials": ""}, width=9)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert said == "Verdict  PROMOTE [x]\n         - better\nTrials   \n"


def test_a_long_line_stays_one_line_and_is_no_markup() -> None:
    console = Console(file=io.StringIO(), width=10)
    say(console, "[bold]a line that is longer")
    assert console.file.getvalue() == "[bold]a line that is longer\n"  # type: ignore[attr-defined]


def test_lines_and_tables_follow_each_other() -> None:
    text = joined(["first", (("name", "value"), [("[a]", "1")]), "last"], terminal=False)
    assert [line.split() for line in text.splitlines()] == [["first"], ["name", "value"], ["[a]", "1"], ["last"]]
