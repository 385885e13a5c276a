package main

import (
	"encoding/json"
	"fmt"
	"strings"
)

// The highest fence there was, and who holds the lock: fences, each with a comma after it.
type lock struct {
	highest   int64
	held      string
	exclusive bool
}

// A "take" was granted with its fence. A "read" tells the highest fence granted by then. An "end" may come true at any
// time after its call: that hold is guaranteed no longer, or its holder began to give it back.
func lockOperation(e event) (*operation, error) {
	fence, err := number(e.Fence)
	if err != nil || fence == nil {
		return nil, fmt.Errorf("a lock's operation names its fence: %v", err)
	}
	told, err := e.told()
	if err != nil {
		return nil, err
	}
	mark := fmt.Sprintf("%d,", *fence)
	switch e.Op {
	case "take":
		var mode string
		if err := json.Unmarshal(e.Input["mode"], &mode); err != nil || (mode != "exclusive" && mode != "shared") {
			return nil, fmt.Errorf("a take is exclusive or shared, not %s", e.Input["mode"])
		}
		exclusive := mode == "exclusive"
		return lockStep(told == nil, func(l lock) (lock, bool) {
			free := l.held == "" || !(exclusive || l.exclusive)
			return lock{*fence, l.held + mark, exclusive}, free && *fence > l.highest
		})
	case "read":
		return lockStep(told == nil, func(l lock) (lock, bool) {
			return lock{*fence, l.held, l.exclusive}, *fence >= l.highest
		})
	case "end":
		return lockStep(told == nil, func(l lock) (lock, bool) {
			before, after, holds := strings.Cut(","+l.held, ","+mark)
			return lock{l.highest, strings.TrimPrefix(before+","+after, ","), l.exclusive}, holds
		})
	}
	return nil, fmt.Errorf("%q is no operation of a lock", e.Op)
}

func lockStep(torn bool, next func(lock) (lock, bool)) (*operation, error) {
	return &operation{torn: torn, step: func(state any) (any, bool) {
		after, fits := next(state.(lock))
		return after, fits
	}}, nil
}
