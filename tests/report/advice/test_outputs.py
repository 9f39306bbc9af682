"""Verdict and next steps in every output of a real audit."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from haystack_crossalign.report.advice.steps import next_steps
from haystack_crossalign.report.advice.verdict import verdict
from haystack_crossalign.report.html import render_html
from haystack_crossalign.report.markdown import render_markdown
from haystack_crossalign.report.terminal import result_view


def test_terminal_markdown_and_page_say_the_same(two: dict[str, Any]) -> None:
    judged = verdict(two)
    assert judged is not None
    steps = next_steps(two, judged)
    assert "Train the model" in [step.title for step in steps]
    terminal = "\n".join(part.plain for part in result_view(two) if isinstance(part, Text))
    markdown, page = render_markdown(two), render_html(two)
    assert judged.sentence in terminal
    assert judged.level in markdown.split("Verdict: ", 1)[1][:10]
    assert f'<p class="verdict {judged.level}">' in page
    for number, step in enumerate(steps, start=1):
        assert f"{number}. {step.title}. {step.reason}" in terminal
        assert f"{number}. **{step.title}.**" in markdown
        assert f"<li><b>{step.title}.</b>" in page
        for text in (terminal, markdown):
            assert step.command in text
