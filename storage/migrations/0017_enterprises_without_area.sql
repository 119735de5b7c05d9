-- Nothing ever said where an enterprise is at home; a vehicle's own area (车籍地) stays.

ALTER TABLE enterprises DROP COLUMN area;
