package main

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// A value and the number of the write that left it. known: revision is that number; else it is some higher one.
type register struct {
	value    value
	revision int64
	known    bool
}

// none: there is no value.
type value struct {
	text string
	none bool
}

func registerOperation(e event) (*operation, error) {
	told, err := e.told()
	if err != nil {
		return nil, err
	}
	revision, err := number(e.Revision)
	if err != nil {
		return nil, err
	}
	torn := told == nil
	written, err := valueOf(e.Input, "value")
	if err != nil {
		return nil, err
	}
	switch e.Op {
	case "get":
		if torn {
			return nil, nil
		}
		read, err := valueOf(told, "value")
		if err != nil || read == nil {
			return nil, fmt.Errorf("a get says what it read: %v", err)
		}
		return step(torn, func(r register) (register, bool) { return r.met(read, revision) })
	case "delete":
		return step(torn, func(r register) (register, bool) { return r.wrote(value{none: true}, revision) })
	case "put":
		if written == nil {
			return nil, fmt.Errorf("a put says what it writes")
		}
		return step(torn, func(r register) (register, bool) { return r.wrote(*written, revision) })
	case "cas":
		return compareAndSet(e, told, written, revision)
	}
	return nil, fmt.Errorf("%q is no operation of a register", e.Op)
}

func compareAndSet(e event, told map[string]json.RawMessage, written *value, revision *int64) (*operation, error) {
	expected, err := valueOf(e.Input, "expect")
	if err != nil {
		return nil, err
	}
	var named *int64
	if raw, there := e.Input["ifRevision"]; there {
		var text string
		if err := json.Unmarshal(raw, &text); err != nil {
			return nil, err
		}
		if named, err = number(&text); err != nil {
			return nil, err
		}
	}
	if written == nil || (expected == nil && named == nil) {
		return nil, fmt.Errorf("a cas says what it expects and what it writes")
	}
	swap := func(r register) (register, bool) {
		r, fits := r.met(expected, named)
		if !fits {
			return r, false
		}
		return r.wrote(*written, revision)
	}
	if told == nil {
		return step(true, swap)
	}
	var done bool
	if err := json.Unmarshal(told["ok"], &done); err != nil {
		return nil, fmt.Errorf("a cas says whether it was ok: %w", err)
	}
	if done {
		return step(false, swap)
	}
	found, err := valueOf(told, "value")
	if err != nil {
		return nil, err
	}
	return step(false, func(r register) (register, bool) {
		r, fits := r.met(found, revision)
		holds := (expected == nil || *expected == r.value) && (named == nil || (r.known && *named == r.revision))
		return r, fits && !holds
	})
}

func step(torn bool, next func(register) (register, bool)) (*operation, error) {
	return &operation{torn: torn, step: func(state any) (any, bool) {
		after, fits := next(state.(register))
		return after, fits
	}}, nil
}

// The register after somebody found this value and this number in it, each if it was told.
func (r register) met(found *value, revision *int64) (register, bool) {
	if found != nil && *found != r.value {
		return r, false
	}
	if revision == nil {
		return r, true
	}
	if r.known {
		return r, r.revision == *revision
	}
	return register{r.value, *revision, true}, *revision > r.revision
}

func (r register) wrote(written value, revision *int64) (register, bool) {
	if revision == nil {
		return register{written, r.revision, false}, true
	}
	return register{written, *revision, true}, *revision > r.revision
}

// Nil where nothing is said of it; that there is no value is said with null.
func valueOf(object map[string]json.RawMessage, name string) (*value, error) {
	raw, there := object[name]
	if !there {
		return nil, nil
	}
	if string(raw) == "null" {
		return &value{none: true}, nil
	}
	var text string
	if err := json.Unmarshal(raw, &text); err != nil {
		return nil, fmt.Errorf("%s is no text and not null", name)
	}
	return &value{text: text}, nil
}

func number(text *string) (*int64, error) {
	if text == nil {
		return nil, nil
	}
	n, err := strconv.ParseInt(*text, 10, 64)
	return &n, err
}
