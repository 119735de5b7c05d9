-- What is wrong with a fix, kept beside it: the flags of the quality gate.

ALTER TABLE fixes ADD COLUMN quality integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN fixes.quality IS 'flags of the quality gate as they stood when the fix was stored; 0: good, or older than the gate';
