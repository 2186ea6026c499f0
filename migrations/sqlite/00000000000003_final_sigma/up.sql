-- Names are folded letter by letter now, where the last sigma of a word had a form of its own.
UPDATE users SET username_folded = replace(username_folded, 'ς', 'σ');
