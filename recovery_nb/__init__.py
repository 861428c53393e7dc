"""Find every copy of every lost MongoDB record, put it back without harm, and prove that it was done."""
