package main

const (
	deepestConstraint = 32
	mostClauses       = 64
	others            = "*"
)

// wildcard is what * has for its value.
var wildcard = value{kind: object, members: map[string]value{"constraint_type": {kind: text, text: "wildcard"}}}

var defined = map[string][]string{
	"exact":      {"value"},
	"range":      {"min", "max", "min_inclusive", "max_inclusive"},
	"one_of":     {"values"},
	"not_one_of": {"excluded"},
	"contains":   {"required"},
	"subset":     {"allowed"},
	"wildcard":   {},
	"all":        {"constraints"},
	"any":        {"constraints"},
}

// listOf is the member of a type that is a list of values.
var listOf = map[string]string{"one_of": "values", "not_one_of": "excluded", "contains": "required", "subset": "allowed"}

func kindOf(c value) string { return c.members["constraint_type"].text }

// wellFormed judges a constraint that stands on its own.
func wellFormed(c value) bool {
	if c.kind != object || !c.admissible() {
		return false
	}
	if optional, has := c.members["optional"]; has && optional.kind != boolean {
		return false
	}
	clauses := 0
	return clauseWellFormed(c, 1, &clauses)
}

func clauseWellFormed(c value, depth int, clauses *int) bool {
	*clauses++
	if c.kind != object || depth > deepestConstraint || *clauses > mostClauses {
		return false
	}
	if c.members["constraint_type"].kind != text {
		return false
	}
	members, known := defined[kindOf(c)]
	if !known {
		return false
	}
	for name := range c.members {
		if name != "constraint_type" && !(name == "optional" && depth == 1) && !contains(members, name) {
			return false
		}
	}
	switch kind := kindOf(c); kind {
	case "exact":
		v, has := c.members["value"]
		return has && v.kind != array && v.kind != object
	case "range":
		return rangeWellFormed(c)
	case "wildcard":
		return true
	case "all", "any":
		list := c.members["constraints"]
		if list.kind != array || len(list.items) == 0 {
			return false
		}
		for _, clause := range list.items {
			if !clauseWellFormed(clause, depth+1, clauses) {
				return false
			}
		}
		return true
	default:
		list := c.members[listOf[kind]]
		return list.kind == array && (kind != "one_of" || len(list.items) > 0)
	}
}

func rangeWellFormed(c value) bool {
	for _, bound := range []string{"min", "max"} {
		limit, has := c.members[bound]
		if has && limit.kind != number {
			return false
		}
		inclusive, says := c.members[bound+"_inclusive"]
		if says && (!has || inclusive.kind != boolean) {
			return false
		}
	}
	low, hasLow := c.members["min"]
	high, hasHigh := c.members["max"]
	return !hasLow || !hasHigh || low.float() <= high.float()
}

func contains(list []string, name string) bool {
	for _, item := range list {
		if item == name {
			return true
		}
	}
	return false
}

func among(v value, list value) bool {
	for _, item := range list.items {
		if item.canonical() == v.canonical() {
			return true
		}
	}
	return false
}

func allAmong(some, list value) bool {
	for _, item := range some.items {
		if !among(item, list) {
			return false
		}
	}
	return true
}

func inclusive(c value, bound string) bool {
	says, has := c.members[bound+"_inclusive"]
	return !has || says.truth
}

// accepts judges a value by a constraint that is well-formed.
func accepts(c, v value) bool {
	switch kindOf(c) {
	case "exact":
		return c.members["value"].canonical() == v.canonical()
	case "range":
		if v.kind != number {
			return false
		}
		if low, has := c.members["min"]; has && (v.float() < low.float() || (v.float() == low.float() && !inclusive(c, "min"))) {
			return false
		}
		high, has := c.members["max"]
		return !has || v.float() < high.float() || (v.float() == high.float() && inclusive(c, "max"))
	case "one_of":
		return among(v, c.members["values"])
	case "not_one_of":
		return !among(v, c.members["excluded"])
	case "contains":
		return v.kind == array && allAmong(c.members["required"], v)
	case "subset":
		return v.kind == array && allAmong(v, c.members["allowed"])
	case "wildcard":
		return true
	case "all":
		for _, clause := range c.members["constraints"].items {
			if !accepts(clause, v) {
				return false
			}
		}
		return true
	case "any":
		for _, clause := range c.members["constraints"].items {
			if accepts(clause, v) {
				return true
			}
		}
	}
	return false
}

// above tells whether a parent is above a child.
func above(parent, child value) bool {
	up, down := kindOf(parent), kindOf(child)
	if up == "wildcard" {
		return true
	}
	if down == "exact" && (up == "range" || up == "one_of") {
		return accepts(parent, child.members["value"])
	}
	if up != down {
		return false
	}
	switch up {
	case "exact":
		return parent.members["value"].canonical() == child.members["value"].canonical()
	case "range":
		return tighter(parent, child, "min") && tighter(parent, child, "max")
	case "one_of", "subset":
		return allAmong(child.members[listOf[up]], parent.members[listOf[up]])
	case "not_one_of", "contains":
		return allAmong(parent.members[listOf[up]], child.members[listOf[up]])
	case "all":
		return every(parent, func(p value) bool { return some(child, func(c value) bool { return above(p, c) }) })
	case "any":
		return every(child, func(c value) bool { return some(parent, func(p value) bool { return above(p, c) }) })
	}
	return false
}

func tighter(parent, child value, bound string) bool {
	limit, has := parent.members[bound]
	if !has {
		return true
	}
	own, has := child.members[bound]
	if !has {
		return false
	}
	if own.float() == limit.float() {
		return inclusive(parent, bound) || !inclusive(child, bound)
	}
	return (own.float() > limit.float()) == (bound == "min")
}

func every(c value, holds func(value) bool) bool {
	for _, clause := range c.members["constraints"].items {
		if !holds(clause) {
			return false
		}
	}
	return true
}

func some(c value, holds func(value) bool) bool {
	return !every(c, func(clause value) bool { return !holds(clause) })
}
