-- Ids are never given twice here.
SELECT 1;
