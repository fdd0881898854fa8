// Writes expected.jsonl: what Go's text/template makes of the templates in cases.txt, in the way in
// which `docker inspect --format` uses it (the typed value first, then the raw one).
//
//	go run make.go < cases.txt > expected.jsonl
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/template"
)

type health struct{ Test []string }

type config struct {
	User         string
	Env          []string
	Cmd          []string
	Entrypoint   []string
	Labels       map[string]string
	OnBuild      map[string]string
	ExposedPorts map[string]struct{}
	Healthcheck  *health
}

type data struct {
	Id      string
	Size    int64
	Ratio   float64
	Tiny    float64
	Ready   bool
	Empty   string
	Tags    []string
	Numbers []int64
	Config  config
	History []struct{ CreatedBy string }
}

func main() {
	value := data{
		Id: "sha256:0123456789abcdef", Size: 74800000, Ratio: 2.5, Tiny: 0.00000012, Ready: true,
		Tags: []string{"demo:latest", "demo:v1"}, Numbers: []int64{3, 1, 2},
		Config: config{
			Env: []string{"PATH=/bin", "LANG=C"}, Cmd: []string{"sh", "-c", "echo hi"},
			Labels:       map[string]string{"b": "2", "a": "<1>"},
			ExposedPorts: map[string]struct{}{"80/tcp": {}},
		},
		History: []struct{ CreatedBy string }{{"COPY . ."}, {"RUN make"}},
	}
	functions := template.FuncMap{
		"json": func(v any) string {
			buffer := &bytes.Buffer{}
			encoder := json.NewEncoder(buffer)
			encoder.SetEscapeHTML(false)
			encoder.Encode(v)
			return strings.TrimSpace(buffer.String())
		},
		"split": strings.Split, "join": strings.Join, "title": strings.Title,
		"lower": strings.ToLower, "upper": strings.ToUpper,
		"pad": func(s string, before, after int) string {
			if s == "" {
				return s
			}
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"truncate": func(s string, length int) string {
			if len(s) < length {
				return s
			}
			return s[:length]
		},
	}
	document, _ := json.Marshal(value)
	var raw any
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	decoder.Decode(&raw)
	lines := bufio.NewScanner(os.Stdin)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for lines.Scan() {
		text := strings.ReplaceAll(lines.Text(), "⏎", "\n")
		result := map[string]string{"template": text}
		buffer := &bytes.Buffer{}
		parsed, err := template.New("").Funcs(functions).Parse(text)
		if err == nil {
			if err = parsed.Execute(buffer, value); err != nil {
				buffer.Reset()
				err = parsed.Option("missingkey=error").Execute(buffer, raw)
			}
		}
		if err != nil {
			result["error"] = fmt.Sprint(err)
		} else {
			result["output"] = buffer.String()
		}
		out.Encode(result)
	}
}
