// go-containerregistry's registry on loopback, with its referrers API on: its own command leaves it off.
package main

import (
	"flag"
	"fmt"
	"log"
	"net/http"

	"github.com/google/go-containerregistry/pkg/registry"
)

func main() {
	port := flag.Int("port", 0, "port of 127.0.0.1 to listen on")
	flag.Parse()
	handler := registry.New(registry.WithReferrersSupport(true))
	log.Fatal(http.ListenAndServe(fmt.Sprintf("127.0.0.1:%d", *port), handler))
}
