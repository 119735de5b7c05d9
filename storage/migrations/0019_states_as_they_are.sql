-- States are written over once a minute, some kilobytes each: to compress them took more of a processor than all else that stores fixes.
-- Copies, one a day, stay compressed.
ALTER TABLE rule_states ALTER COLUMN packed SET STORAGE EXTERNAL;
