// Command hello is the only file of the images that the tests run.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Println("hello from", os.Getenv("IMAGE"))
}
