from alpaqual.report.report import Report


def to_github(report: Report) -> str:
    return ""
