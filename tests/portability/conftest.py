"""Says how large the matrix was."""

import platform


def pytest_terminal_summary(terminalreporter):
    def count(outcome):
        return sum("test_matrix.py" in report.nodeid for report in terminalreporter.stats.get(outcome, []))

    same, other = count("passed"), count("failed")
    if same or other:
        text = f"numeric matrix on {platform.machine()}: {same} cells gave the pinned bits, {other} did not"
        terminalreporter.write_line(text)
