-- What a file held when it was compared with the checksum lists of its rule (BLAKE3 in hexadecimal): only that is sent. Without a value
-- no list was compared.
ALTER TABLE file ADD COLUMN verified TEXT;
