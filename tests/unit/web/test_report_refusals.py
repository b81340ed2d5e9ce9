"""Why a file is not taken for a report."""

from ratchet.web.report_refusals import ReportUnreadable


def test_the_message_says_what_to_ask_for() -> None:
    """File, problem and remedy."""
    text = str(ReportUnreadable(where="report.html", problem="it holds no figures"))
    assert text.startswith("report.html is no published report: it holds no figures. Nothing was checked.")
    assert "ratchet report --out report.html" in text
