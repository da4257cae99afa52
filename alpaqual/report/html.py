from alpaqual.report.report import Report


def to_html(report: Report) -> str:
    return ""
