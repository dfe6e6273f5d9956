-- Whether the rule that took a file away was `confined`: no link is followed on the way to its folder when the file is looked after.
ALTER TABLE taken_away ADD COLUMN confined INTEGER NOT NULL DEFAULT 0;
