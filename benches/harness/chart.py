"""The chart: requests per second at 64 connections, one bar a server, as plain SVG."""

from html import escape

from .tables import power, rate

PANELS = (("send", "durable sends a second"), ("inbox", "inbox pages of 20 a second"))
WIDTH, BAR, GAP, LEFT, RIGHT, HEAD = 760, 26, 8, 190, 110, 44
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; }
  .title { font-weight: 600; } .note { fill: #59636e; font-size: 12px; }
  .sealpost { fill: #1f6feb; } .flask { fill: #8c959f; } .ceiling { fill: #d0d7de; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .note { fill: #9198a1; }
    .sealpost { fill: #4493f8; } .flask { fill: #6e7681; } .ceiling { fill: #3d444d; }
  }
"""


def svg(core):
    """The drawing; servers that were not measured are left out."""
    bars = [
        (f"sealpost, {power(1000)} messages", "sealpost", "small"),
        (f"sealpost, {power(core['large_messages'])}", "sealpost", "large"),
        (f"Flask, {power(1000)} messages", "flask", "small"),
        (f"Flask, {power(core['large_messages'])}", "flask", "large"),
        ("nothing stored", "ceiling", "small"),
    ]
    y, shapes = 0, []
    for kind, title in PANELS:
        values = [(label, name, rate(core, kind, 64, name, size)) for label, name, size in bars]
        values = [value for value in values if value[2]]
        if not values:
            continue
        shapes += panel(title, values, y)
        y += HEAD + len(values) * (BAR + GAP) + 12
    size = f'width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}"'
    body = "\n".join(shapes)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">\n'
        f"<title>Requests per second at 64 connections</title>\n<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def panel(title, values, top):
    """One kind of request: a heading and its bars."""
    largest = max(value for _, _, value in values)
    yield f'<text class="title" x="0" y="{top + 22}">{escape(title)}</text>'
    yield f'<text class="note" x="{WIDTH}" y="{top + 22}" text-anchor="end">64 connections</text>'
    for index, (label, name, value) in enumerate(values):
        y = top + HEAD + index * (BAR + GAP) - 6
        length = max(2, value / largest * (WIDTH - LEFT - RIGHT))
        middle = y + BAR / 2 + 5
        yield f'<text x="{LEFT - 10}" y="{middle:g}" text-anchor="end">{escape(label)}</text>'
        yield f'<rect class="{name}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="3"/>'
        yield f'<text x="{LEFT + length + 8:.1f}" y="{middle:g}">{value:,.0f}</text>'
