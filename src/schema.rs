//! The tables, as Diesel sees them. Both back ends share these names and kinds, but
//! `read_marks` is SQLite's alone. `migrations/` says what each column means.

diesel::table! {
    users (id) {
        id -> BigInt,
        username -> Text,
        username_folded -> Text,
        email -> Nullable<Text>,
        verifier -> Text,
        public_key -> Nullable<Text>,
        sealed_private_key -> Nullable<Text>,
        avatar -> Nullable<Text>,
        status -> Text,
        created_at -> BigInt,
        last_login_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    sessions (id) {
        id -> BigInt,
        user_id -> BigInt,
        created_at -> BigInt,
        expires_at -> BigInt,
    }
}

diesel::table! {
    contacts (user_id, contact_id) {
        user_id -> BigInt,
        contact_id -> BigInt,
        created_at -> BigInt,
    }
}

diesel::table! {
    friend_requests (id) {
        id -> BigInt,
        from_id -> BigInt,
        to_id -> BigInt,
        message -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    rooms (id) {
        id -> BigInt,
        name -> Text,
        created_at -> BigInt,
    }
}

diesel::table! {
    room_members (room_id, user_id) {
        room_id -> BigInt,
        user_id -> BigInt,
        joined_at -> BigInt,
    }
}

diesel::table! {
    messages (id) {
        id -> BigInt,
        sender_id -> BigInt,
        recipient_id -> Nullable<BigInt>,
        room_id -> Nullable<BigInt>,
        pair -> Nullable<BigInt>,
        kind -> Text,
        content -> Text,
        is_encrypted -> Bool,
        sender_key -> Nullable<Text>,
        recipient_key -> Nullable<Text>,
        client_key -> Nullable<Text>,
        client_digest -> Nullable<Binary>,
        sent_at -> BigInt,
        edited_at -> Nullable<BigInt>,
        read_at -> Nullable<BigInt>,
    }
}

diesel::table! {
    deleted_sends (sender_id, client_key) {
        sender_id -> BigInt,
        client_key -> Text,
        client_digest -> Binary,
        message_id -> BigInt,
        sent_at -> BigInt,
    }
}

diesel::table! {
    permissions (user_id, message_id) {
        user_id -> BigInt,
        message_id -> BigInt,
        kind -> Text,
        received -> Bool,
        granted_by -> Nullable<BigInt>,
        content -> Nullable<Text>,
        granted_at -> BigInt,
    }
}

diesel::table! {
    read_marks (user_id) {
        user_id -> BigInt,
        message_id -> BigInt,
    }
}

diesel::table! {
    correspondents (user_id, peer_id) {
        user_id -> BigInt,
        peer_id -> BigInt,
    }
}

diesel::table! {
    pair_keys (from_id, to_id) {
        from_id -> BigInt,
        to_id -> BigInt,
        aes_key -> Text,
        updated_at -> BigInt,
    }
}

diesel::table! {
    uploads (id) {
        id -> BigInt,
        slug -> Text,
        owner_id -> BigInt,
        recipient_id -> Nullable<BigInt>,
        room_id -> Nullable<BigInt>,
        file_name -> Text,
        media_type -> Text,
        size_bytes -> BigInt,
        created_at -> BigInt,
        message_id -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(
    users,
    sessions,
    contacts,
    friend_requests,
    rooms,
    room_members,
    messages,
    deleted_sends,
    permissions,
    read_marks,
    correspondents,
    pair_keys,
    uploads,
);
