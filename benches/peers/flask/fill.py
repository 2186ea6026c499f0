"""Fills the peer's database directly: a million sends through it would take a quarter of an hour.

Usage: DATABASE=file python fill.py USERS MESSAGES SECRET
Every tenth message is granted to one more user.
"""

import random
import sys
from datetime import datetime, timedelta

from sqlalchemy import insert

from app import HASHER, Message, Permission, User, engine

CHUNK = 50_000


def main():
    users, messages = int(sys.argv[1]), int(sys.argv[2])
    verifier = HASHER.hash(sys.argv[3])
    rng = random.Random(1)
    start = datetime(2026, 1, 1)
    ids = range(1, users + 1)
    with engine.begin() as connection:
        connection.execute(
            insert(User),
            [
                {"id": id, "user_id": f"user{id:04}", "password_hash": verifier, "public_key": "k"}
                for id in ids
            ],
        )
    contents = ["".join(rng.choices("ABCDEFabcdef0123456789+/", k=344)) for _ in range(1000)]
    for first in range(1, messages + 1, CHUNK):
        numbers = range(first, min(first + CHUNK, messages + 1))
        with engine.begin() as connection:
            connection.execute(
                insert(Message),
                [
                    {
                        "id": number,
                        "sender_id": rng.choice(ids),
                        "receiver_id": rng.choice(ids),
                        "encrypted_content": contents[number % 1000],
                        "timestamp": start + timedelta(milliseconds=number),
                    }
                    for number in numbers
                ],
            )
            connection.execute(
                insert(Permission),
                [
                    {"message_id": number, "user_id": rng.choice(ids), "permission_type": "read"}
                    for number in numbers
                    if number % 10 == 0
                ],
            )


if __name__ == "__main__":
    main()
