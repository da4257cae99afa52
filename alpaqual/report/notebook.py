from alpaqual.report.report import Report


def to_notebook(report: Report) -> str:
    return ""
