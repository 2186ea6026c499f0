-- The ids are as good without a promise.
SELECT 1;
