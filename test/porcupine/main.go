// A second judge of histories: Porcupine, over models that were written apart from the project's own checkers.
//
// Standard input has one history a line, {"of": "register" or "lock", "events": [...]}, in the form of
// ../sim/check/history_lines.ts. Standard output has one verdict a line, in the same order: "ok", "illegal", or
// "gave up" where neither was shown in time. A line that is no history ends it with exit code 1.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"sort"
	"time"

	"github.com/anishathalye/porcupine"
)

const within = 20 * time.Second

type history struct {
	Of     string  `json:"of"`
	Events []event `json:"events"`
}

type event struct {
	Op       string                     `json:"op"`
	Input    map[string]json.RawMessage `json:"input"`
	Output   json.RawMessage            `json:"output"`
	CallMs   float64                    `json:"callMs"`
	ReturnMs *float64                   `json:"returnMs"`
	Fence    *string                    `json:"fence"`
	Revision *string                    `json:"revision"`
}

// What a model makes of one operation: the states before and after are its own.
// torn: nobody heard what became of it, so it may take effect at any time after its call, or never.
type operation struct {
	step func(state any) (any, bool)
	torn bool
}

// The state once every operation that returned has its place. A torn operation that comes then never took effect.
type over struct{}

func main() {
	in := bufio.NewReader(os.Stdin)
	for number := 1; ; number++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return
		}
		verdict, fault := judge(line)
		if fault != nil {
			fmt.Fprintf(os.Stderr, "line %d: %v\n", number, fault)
			os.Exit(1)
		}
		fmt.Println(verdict)
	}
}

func judge(line []byte) (string, error) {
	var h history
	if err := json.Unmarshal(line, &h); err != nil {
		return "", err
	}
	understand, first := registerOperation, any(register{value: value{none: true}, revision: -1})
	if h.Of == "lock" {
		understand, first = lockOperation, any(lock{})
	} else if h.Of != "register" {
		return "", fmt.Errorf("nothing is known of %q", h.Of)
	}
	operations, err := timed(h.Events, understand)
	if err != nil {
		return "", err
	}
	model := porcupine.Model{
		Init: func() any { return first },
		Step: func(state, input, _ any) (bool, any) {
			op := input.(operation)
			if _, isOver := state.(over); isOver {
				return op.torn, state
			}
			next, fits := op.step(state)
			return fits, next
		},
	}
	switch porcupine.CheckOperationsTimeout(model, operations, within) {
	case porcupine.Ok:
		return "ok", nil
	case porcupine.Illegal:
		return "illegal", nil
	default:
		return "gave up", nil
	}
}

// Times as places in their order, so that no two that differ become one. What is torn returns after everything; before
// that, one operation more ends the search for those that returned.
func timed(events []event, understand func(event) (*operation, error)) ([]porcupine.Operation, error) {
	var times []float64
	for _, e := range events {
		times = append(times, e.CallMs)
		if e.ReturnMs != nil {
			times = append(times, *e.ReturnMs)
		}
	}
	sort.Float64s(times)
	at := func(ms float64) int64 { return int64(sort.SearchFloat64s(times, ms)) }
	end, never := int64(len(times)), int64(math.MaxInt64)
	var operations []porcupine.Operation
	for i, e := range events {
		op, err := understand(e)
		if err != nil {
			return nil, fmt.Errorf("event %d: %w", i+1, err)
		}
		if op == nil {
			continue
		}
		if op.torn != (e.ReturnMs == nil) {
			return nil, fmt.Errorf("event %d: what is unknown, and nothing else, has not returned", i+1)
		}
		returned := never
		if e.ReturnMs != nil {
			returned = at(*e.ReturnMs)
		}
		operations = append(operations, porcupine.Operation{Input: *op, Call: at(e.CallMs), Return: returned})
	}
	last := operation{step: func(any) (any, bool) { return over{}, true }}
	return append(operations, porcupine.Operation{Input: last, Call: end, Return: end}), nil
}

// What an operation was answered, or nil if nobody heard.
func (e event) told() (map[string]json.RawMessage, error) {
	var word string
	if json.Unmarshal(e.Output, &word) == nil && word == "unknown" {
		return nil, nil
	}
	told := map[string]json.RawMessage{}
	if err := json.Unmarshal(e.Output, &told); err != nil || told == nil {
		return nil, fmt.Errorf("output %s is no object and not \"unknown\"", e.Output)
	}
	return told, nil
}
