"""Tables, and the figures that stand in them."""


def table(header, rows):
    """A Markdown table, aligned so that it reads in a terminal too; numbers to the right."""
    rows = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells):
        first = cells[0].ljust(widths[0])
        rest = [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join([first, *rest]) + " |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return "\n".join([line(header), rule, *map(line, rows)]) + "\n"


def cell(core, kind, connections, server, size):
    return core["cells"].get(f"{kind} {connections} {server} {size}")


def rate(core, kind, connections, server, size="small"):
    report = cell(core, kind, connections, server, size)
    return report["rate"] if report else None


def size_name(core, size):
    return "10³" if size == "small" else power(core["large_messages"])


def power(number):
    """1000000 as 10⁶, where it is one."""
    digits = str(number)
    if digits.strip("0") == "1":
        return "10" + "".join("⁰¹²³⁴⁵⁶⁷⁸⁹"[int(digit)] for digit in str(len(digits) - 1))
    return f"{number:,}"


def ratio(ours, theirs):
    return ours / theirs if ours and theirs else None


def goal(name, sign, bound, value, unit="", judged=True):
    """A row of the goals' table; None when it was not measured."""
    if value is None:
        return None
    met = value >= bound if sign == "≥" else value <= bound
    verdict = ("yes" if met else "**no**") if judged else "not judged"
    shown = f"{value:.2f}" if bound < 10 else f"{value:.1f}"
    return [name, f"{sign} {bound:g}{unit}", shown + unit, verdict]
