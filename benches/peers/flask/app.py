"""The nine calls of message_store in Flask, SQLAlchemy and SQLite: what one would write instead.

Plain, and as durable as the server it is compared with: WAL, synchronous=FULL, a commit before
every reply. Passwords are Argon2id with the same parameters. The indices are those the queries
need. It has no tokens, no throttling and no paging beyond `limit`.
"""

import os
from datetime import datetime, timezone

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from flask import Flask, jsonify, request
from sqlalchemy import ForeignKey, Index, bindparam, create_engine, event, select, union_all
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

DATABASE = os.environ.get("DATABASE", "messages.db")
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

engine = create_engine(f"sqlite:///{DATABASE}", connect_args={"timeout": 30})


@event.listens_for(engine, "connect")
def set_pragmas(connection, _record):
    """Readers beside a writer, and nothing acknowledged that is not on disk."""
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


class Base(DeclarativeBase):
    """Parent of the three tables."""


class User(Base):
    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(unique=True)
    password_hash: Mapped[str]
    public_key: Mapped[str]


class Message(Base):
    __tablename__ = "messages"
    id: Mapped[int] = mapped_column(primary_key=True)
    sender_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    receiver_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    encrypted_content: Mapped[str]
    timestamp: Mapped[datetime]
    __table_args__ = (
        Index("by_receiver", "receiver_id", "timestamp"),
        Index("by_sender", "sender_id", "timestamp"),
    )


class Permission(Base):
    __tablename__ = "permissions"
    message_id: Mapped[int] = mapped_column(ForeignKey("messages.id"), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, index=True)
    permission_type: Mapped[str]


Base.metadata.create_all(engine)
# Loaded before the workers are forked: each opens connections of its own.
engine.dispose()
app = Flask(__name__)


class Refused(Exception):
    """Ends a request with a documented status."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status, self.message = status, message


@app.errorhandler(Refused)
def refused(error):
    return jsonify(status="error", message=error.message), error.status


def fields(*names):
    """The named texts of the JSON body; any missing one is 400."""
    body = request.get_json(force=True, silent=True)
    if not isinstance(body, dict):
        raise Refused(400, "the body must be a JSON object")
    values = [body.get(name) for name in names]
    for name, value in zip(names, values):
        if not isinstance(value, str) or not value:
            raise Refused(400, f"{name} is missing")
    return values


# Built once: SQLAlchemy spends more on building a statement than SQLite on running it.
USER_BY_NAME = select(User).where(User.user_id == bindparam("user_id"))


def user_by_name(session, user_id):
    user = session.scalar(USER_BY_NAME, {"user_id": user_id})
    if user is None:
        raise Refused(404, "unknown user")
    return user


def check_password(user, password_hash):
    try:
        HASHER.verify(user.password_hash, password_hash)
    except VerifyMismatchError:
        raise Refused(401, "Invalid password") from None


@app.post("/auth/register")
def register():
    user_id, password_hash, public_key = fields("user_id", "password_hash", "public_key")
    verifier = HASHER.hash(password_hash)
    with Session(engine) as session:
        session.add(User(user_id=user_id, password_hash=verifier, public_key=public_key))
        try:
            session.commit()
        except IntegrityError:
            raise Refused(400, "user id already taken") from None
    return jsonify(status="success", message="Registration successful", data={"user_id": user_id})


@app.post("/auth/login")
def login():
    user_id, password_hash = fields("user_id", "password_hash")
    with Session(engine) as session:
        user = session.scalar(USER_BY_NAME, {"user_id": user_id})
    if user is None:
        raise Refused(401, "Invalid credentials")
    check_password(user, password_hash)
    return jsonify(status="success", message="Login successful", data={"user_id": user_id})


@app.get("/auth/public_key")
def public_key():
    with Session(engine) as session:
        user = user_by_name(session, request.args.get("user_id", ""))
        data = {"user_id": user.user_id, "public_key": user.public_key}
    return jsonify(status="success", message="Public key retrieved successfully", data=data)


@app.post("/auth/change_password")
def change_password():
    user_id, current, new = fields("user_id", "current_password_hash", "new_password_hash")
    with Session(engine) as session:
        user = user_by_name(session, user_id)
        check_password(user, current)
        user.password_hash = HASHER.hash(new)
        session.commit()
    return jsonify(status="success", message="Password changed successfully")


@app.post("/messages/send")
def send():
    user_id, receiver_id, content = fields("user_id", "receiver_id", "encrypted_content")
    with Session(engine, expire_on_commit=False) as session:
        message = Message(
            sender_id=user_by_name(session, user_id).id,
            receiver_id=user_by_name(session, receiver_id).id,
            encrypted_content=content,
            timestamp=datetime.now(timezone.utc).replace(tzinfo=None),
        )
        session.add(message)
        session.commit()
    return jsonify(
        message="Message sent successfully",
        message_id=message.id,
        timestamp=message.timestamp.isoformat(timespec="seconds"),
        status="success",
    )


NEWEST_DIRECT = (
    select(Message.id)
    .where(Message.receiver_id == bindparam("reader"))
    .order_by(Message.timestamp.desc())
    .limit(bindparam("limit"))
    .subquery()
)
SHARED = select(Permission.message_id).where(Permission.user_id == bindparam("reader"))
INBOX = (
    select(Message.id, User.user_id, Message.encrypted_content, Message.timestamp)
    .join(User, User.id == Message.sender_id)
    .where(Message.id.in_(union_all(select(NEWEST_DIRECT), SHARED)))
    .order_by(Message.timestamp.desc(), Message.id.desc())
    .limit(bindparam("limit"))
)
OUTBOX = (
    select(Message.id, User.user_id, Message.encrypted_content, Message.timestamp)
    .join(User, User.id == Message.receiver_id)
    .where(Message.sender_id == bindparam("reader"))
    .order_by(Message.timestamp.desc(), Message.id.desc())
    .limit(bindparam("limit"))
)


def page(query, peer):
    """The reply for an inbox or outbox; `peer` names the field of the other user."""
    with Session(engine) as session:
        user = user_by_name(session, request.args.get("user_id", ""))
        # SQLite reads a negative limit as none.
        limit = request.args.get("limit", default=-1, type=int)
        rows = session.execute(query, {"reader": user.id, "limit": limit}).all()
    messages = [
        {
            "id": id,
            peer: name,
            "encrypted_content": content,
            "timestamp": timestamp.isoformat(timespec="seconds"),
        }
        for id, name, content, timestamp in rows
    ]
    return jsonify(messages=messages, status="success")


@app.get("/messages/inbox")
def inbox():
    return page(INBOX, "sender_id")


@app.get("/messages/outbox")
def outbox():
    return page(OUTBOX, "receiver_id")


def message_to_share(session, message_id, user_id):
    """The message, if `user_id` may say who else may read it."""
    user = user_by_name(session, user_id)
    message = session.get(Message, message_id)
    if message is None:
        raise Refused(404, "unknown message")
    held = session.get(Permission, (message_id, user.id))
    if message.sender_id != user.id and (held is None or held.permission_type != "admin"):
        raise Refused(403, "not allowed")
    return message


@app.post("/messages/message/<int:message_id>/permission")
def grant(message_id):
    user_id, target_id, kind = fields("user_id", "target_user_id", "permission_type")
    if kind not in ("read", "write", "admin"):
        raise Refused(400, "permission_type must be read, write or admin")
    with Session(engine) as session:
        message = message_to_share(session, message_id, user_id)
        target = user_by_name(session, target_id)
        session.merge(Permission(message_id=message.id, user_id=target.id, permission_type=kind))
        session.commit()
    return jsonify(message="Permission granted successfully", status="success")


@app.delete("/messages/message/<int:message_id>/permission")
def revoke(message_id):
    user_id, target_id = fields("user_id", "target_user_id")
    with Session(engine) as session:
        message = message_to_share(session, message_id, user_id)
        target = user_by_name(session, target_id)
        held = session.get(Permission, (message.id, target.id))
        if held is None:
            raise Refused(404, "nothing was granted")
        session.delete(held)
        session.commit()
    return jsonify(message="Permission revoked successfully", status="success")
