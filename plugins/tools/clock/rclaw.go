// What a plugin in Go needs of rclaw: tools, results and the host's verbs. It speaks the ABI of rclaw:plugin@0.1.0
// for core modules; nothing in here has to be changed for a plugin.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"
)

// Tool is what the model can call. Params is a JSON Schema; the host checks every call against it before Execute sees it.
type Tool struct {
	Name        string
	Description string
	Params      string
	Execute     func(params json.RawMessage, context Context) Result
}

// Result is what the model reads. A failed tool is an answer too: say why, so that the model can go on.
type Result struct {
	Content string `json:"content"`
	IsError bool   `json:"isError,omitempty"`
	// Details are for programs, not for the model.
	Details any `json:"details,omitempty"`
}

// Context says who is calling, and where.
type Context struct {
	SessionKey string `json:"sessionKey"`
	AgentID    string `json:"agentId"`
	RunID      string `json:"runId"`
	ToolCallID string `json:"toolCallId"`
	Channel    string `json:"channel"`
	IsOwner    bool   `json:"isOwner"`
}

// PluginError is the one error there is, in both directions; docs/errors.md has the codes.
type PluginError struct {
	Code      string `json:"code"`
	Message   string `json:"message"`
	Retryable bool   `json:"retryable,omitempty"`
}

func (e *PluginError) Error() string { return e.Code + ": " + e.Message }

// Fail is a result that says what went wrong.
func Fail(format string, values ...any) Result {
	return Result{Content: fmt.Sprintf(format, values...), IsError: true}
}

// Log writes a line to the gateway's log.
func Log(format string, values ...any) { hostLogInfo(toHost([]byte(fmt.Sprintf(format, values...)))) }

// Ask asks the host for one of its verbs; docs/wit.md has them. The answer is stored in to, unless that is nil.
func Ask(method string, params, to any) error {
	request, err := json.Marshal(map[string]any{"m": method, "a": params})
	if err != nil {
		return err
	}
	address := hostCall(toHost(request))
	bytes := make([]byte, hostLength(address))
	read(bytes, func(at uint64) uint64 { return hostLoadWord(address + at) }, func(at uint64) uint32 { return hostLoad(address + at) })
	var answer struct {
		Ok  json.RawMessage `json:"ok"`
		Err *PluginError    `json:"err"`
	}
	if err := json.Unmarshal(bytes, &answer); err != nil {
		return err
	}
	if answer.Err != nil {
		return answer.Err
	}
	if to == nil {
		return nil
	}
	return json.Unmarshal(answer.Ok, to)
}

// A plugin is a library: main is never called.
func main() {}

//go:wasmexport rclaw_describe
func describe() int32 {
	type spec struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Params      json.RawMessage `json:"params"`
	}
	specs := []spec{}
	for _, tool := range tools {
		specs = append(specs, spec{tool.Name, tool.Description, json.RawMessage(tool.Params)})
	}
	return answer(map[string]any{"abi": "rclaw:plugin@0.1.0", "tools": specs, "hooks": []any{}})
}

//go:wasmexport rclaw_tool_execute
func execute() int32 {
	var call struct {
		Name    string          `json:"name"`
		Params  json.RawMessage `json:"params"`
		Context Context         `json:"context"`
	}
	input := make([]byte, hostInputLength())
	read(input, hostInputWord, hostInput)
	if err := json.Unmarshal(input, &call); err != nil {
		return answer(map[string]any{"err": PluginError{Code: "INVALID_REQUEST", Message: err.Error()}})
	}
	for _, tool := range tools {
		if tool.Name == call.Name {
			return answer(map[string]any{"ok": run(tool, call.Params, call.Context)})
		}
	}
	return answer(map[string]any{"err": PluginError{Code: "NOT_FOUND", Message: "this plugin has no such tool"}})
}

// A panic would end the instance; as an answer, the model can go on and the log says what it was.
func run(tool Tool, params json.RawMessage, context Context) (result Result) {
	defer func() {
		if cause := recover(); cause != nil {
			Log("tool %s panicked: %v", tool.Name, cause)
			result = Fail("tool %s has a bug: it could not do that", tool.Name)
		}
	}()
	return tool.Execute(params, context)
}

// Parse reads params into a struct. What does not fit is said in words that the model can act on.
func Parse(params json.RawMessage, to any) error {
	if err := json.Unmarshal(params, to); err != nil {
		return errors.New("the params do not fit: " + err.Error())
	}
	return nil
}

func answer(value any) int32 {
	bytes, err := json.Marshal(value)
	if err != nil {
		bytes, _ = json.Marshal(map[string]any{"err": PluginError{Code: "PLUGIN_FAILED", Message: err.Error()}})
	}
	hostOutput(toHost(bytes), uint64(len(bytes)))
	return 0
}

func toHost(bytes []byte) uint64 {
	address := hostAlloc(uint64(len(bytes)))
	at := 0
	for ; at+8 <= len(bytes); at += 8 {
		hostStoreWord(address+uint64(at), *(*uint64)(unsafe.Pointer(&bytes[at])))
	}
	for ; at < len(bytes); at++ {
		hostStore(address+uint64(at), uint32(bytes[at]))
	}
	return address
}

func read(to []byte, word func(uint64) uint64, byteAt func(uint64) uint32) {
	at := 0
	for ; at+8 <= len(to); at += 8 {
		*(*uint64)(unsafe.Pointer(&to[at])) = word(uint64(at))
	}
	for ; at < len(to); at++ {
		to[at] = byte(byteAt(uint64(at)))
	}
}

//go:wasmimport extism:host/env alloc
func hostAlloc(bytes uint64) uint64

//go:wasmimport extism:host/env store_u8
func hostStore(address uint64, value uint32)

//go:wasmimport extism:host/env store_u64
func hostStoreWord(address uint64, value uint64)

//go:wasmimport extism:host/env load_u8
func hostLoad(address uint64) uint32

//go:wasmimport extism:host/env load_u64
func hostLoadWord(address uint64) uint64

//go:wasmimport extism:host/env length
func hostLength(address uint64) uint64

//go:wasmimport extism:host/env input_length
func hostInputLength() uint64

//go:wasmimport extism:host/env input_load_u8
func hostInput(at uint64) uint32

//go:wasmimport extism:host/env input_load_u64
func hostInputWord(at uint64) uint64

//go:wasmimport extism:host/env output_set
func hostOutput(address uint64, bytes uint64)

//go:wasmimport extism:host/env log_info
func hostLogInfo(address uint64)

//go:wasmimport extism:host/user rclaw_call
func hostCall(request uint64) uint64
