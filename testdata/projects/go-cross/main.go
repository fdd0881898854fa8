package main

import (
	"fmt"
	"os"
	"runtime"
)

var target string

func main() {
	home, _ := os.UserHomeDir()
	fmt.Println(target, runtime.GOOS+"/"+runtime.GOARCH, os.Getuid(), home)
}
