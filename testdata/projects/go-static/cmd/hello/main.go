package main

import (
	"fmt"
	"os"

	"example.org/hello/internal/words"
)

var version = "none"

func main() {
	fmt.Printf("%s %s as %d\n", words.Join(os.Args[1:]), version, os.Getuid())
}
