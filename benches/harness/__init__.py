"""The benchmark: one module per question, and what they share.

main      arguments, order of the sections, the end
build     binaries and the peer's Python environment
machine   the disk and the processes: fdatasync, resident memory, processor time
servers   start, address and end of each server
requests  HTTP requests: prepared as plans, or made at once
load      the load generator, called and read
stores    users and messages, brought into each server
core      message_store against Flask and the ceiling
ab        two sealpost binaries against each other
chat8     send and history through chat8, its sockets and uploads
room      the TCP rooms
report    the Markdown of it all, goals first; live_report: of chat8 and the room
tables    what both reports are made with
chart     the SVG
"""
