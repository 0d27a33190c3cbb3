package chaos

import (
	"encoding/base64"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"podrun/ground"
)

const secrets = "secrets"

// markers are what must be found nowhere: one for each way of a Secret.
var markers = []string{"mark3r-env", "mark3r-from", "mark3r-file", "mark3r-pull", "mark3r-login", "mark3r-wrong", "mark3r-url", "73114400911"}

const secretPod = `
apiVersion: v1
kind: Secret
metadata: {name: values}
stringData: {env: mark3r-env, file: mark3r-file}
---
apiVersion: v1
kind: Secret
metadata: {name: all}
data: {FROM: %[2]s, 9lives: %[2]s}
---
apiVersion: v1
kind: Secret
metadata: {name: pull}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: '{"auths": {"%[1]s": {"username": "user", "password": "mark3r-pull"}}}'}
---
apiVersion: v1
kind: Pod
metadata: {name: secret}
spec:
  terminationGracePeriodSeconds: 0
  imagePullSecrets: [{name: pull}]
  initContainers:
  - {name: init, image: facts, imagePullPolicy: Never, command: [/busybox, "true"], envFrom: [{secretRef: {name: all}}]}
  containers:
  - name: main
    image: facts
    imagePullPolicy: Never
    command: [/busybox, sleep, "3600"]
    env: [{name: VALUE, valueFrom: {secretKeyRef: {name: values, key: env}}}]
    envFrom: [{secretRef: {name: all}}]
    lifecycle: {postStart: {exec: {command: [/busybox, "true"]}}}
    livenessProbe: {exec: {command: [/busybox, "true"]}, periodSeconds: 1}
    volumeMounts: [{name: files, mountPath: /files}]
  volumes: [{name: files, secret: {secretName: values}}]
`

const pulledPod = `
apiVersion: v1
kind: Pod
metadata: {name: pulled}
spec:
  imagePullSecrets: [{name: pull}]
  containers: [{name: main, image: "%s/app:v1"}]
`

// wrongSecrets are refused, and what is said of them must not quote them.
var wrongSecrets = []string{
	`data: {a: "mark3r-wrong is no base64"}`,
	`data: {a: mark3r-wrong`,
	`data: [mark3r-wrong]`,
	`stringData: {a: mark3r-wrong, a: mark3r-wrong2}`,
	`stringData: {a: [mark3r-wrong]}`,
	`stringDatas: {a: mark3r-wrong}`,
	`stringData: {"a b": mark3r-wrong}`,
	"stringData:\n  a: mark3r-wrong\n b: \"mark3r-wrong",
	`{type: kubernetes.io/dockerconfigjson, stringData: {.dockerconfigjson: "mark3r-wrong{"}}`,
	"type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: \"mark3r-wrong{\"}",
	"type: kubernetes.io/basic-auth\nstringData: {pass: mark3r-wrong}",
	"type: kubernetes.io/ssh-auth\nstringData: {key: mark3r-wrong}",
	"stringData: {pin: 73114400911}",
	"data: {pin: 73114400911}",
	"immutable: mark3r-wrong",
}

// TestSecrets gives Secrets in every way that there is and looks for their values
// in all that podrun prints, in its processes, and in the files that others can read.
func TestSecrets(t *testing.T) {
	g := newGround(t, secrets)
	importFacts(t, g, buildTools(t))
	// As an administrator may have made them: readable by all.
	for _, dir := range []string{g.Dir, g.Store.Root, g.Store.RunRoot} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s := secretive{t: t, g: g, registry: refusingRegistry(t)}
	stop := s.watchProcesses()
	s.use()
	s.refuse()
	s.asOthers()
	stop()
	g.Must(t, "down", "--all")
	tally(secrets, "escapes", 0)
}

type secretive struct {
	t        *testing.T
	g        *ground.Ground
	registry string
}

// search looks for the markers, also as the API and registries encode them.
func (s secretive) search(where, text string) {
	s.t.Helper()
	tally(secrets, "places searched", 1)
	for _, m := range markers {
		for _, form := range []string{m, base64.StdEncoding.EncodeToString([]byte(m)), base64.StdEncoding.EncodeToString([]byte("user:" + m))} {
			if i := strings.Index(text, strings.TrimRight(form, "=")); i >= 0 {
				tally(secrets, "escapes", 1)
				s.t.Errorf("%s shows %s: ...%q...", where, m, text[max(0, i-80):min(len(text), i+80)])
			}
		}
	}
}

func (s secretive) run(args ...string) ground.Result {
	s.t.Helper()
	cmd := s.g.Command(args...)
	cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+s.g.Dir)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	s.search("podrun "+strings.Join(args, " "), out.String())
	return ground.Result{Args: args, Code: cmd.ProcessState.ExitCode(), Stdout: out.String(), Stderr: fmt.Sprint(err)}
}

// use starts a pod that has all of them and asks for all that can be asked.
func (s secretive) use() {
	from := base64.StdEncoding.EncodeToString([]byte("mark3r-from"))
	login := base64.StdEncoding.EncodeToString([]byte("user:mark3r-login"))
	if err := os.WriteFile(filepath.Join(s.g.Dir, "config.json"), fmt.Appendf(nil, `{"auths":{"%s":{"auth":"%s"}}}`, s.registry, login), 0o600); err != nil {
		s.t.Fatal(err)
	}
	file := s.manifest("secret.yaml", fmt.Sprintf(secretPod, s.registry, from))
	if r := s.run("-v", "up", file); r.Code != 0 {
		s.t.Fatal(r)
	}
	for _, args := range []string{
		"-v up " + file, "ps -A -o wide", "ps -A -o json", "ps -o yaml", "describe secret", "get pod -o yaml", "get secret", "get secret -o yaml", "get secret -o json",
		"get secret all -o yaml", "events", "logs secret --all-containers", "-v exec secret -- /busybox true", "-v image ls",
		"-v exec secret -c none -- /busybox true", "validate " + file, "-v debug secret --image facts --pull Never -- /busybox true",
	} {
		s.run(strings.Fields(args)...)
	}
	// The pull fails with the registry's own login, and with that of the pod.
	pulled := s.manifest("pulled.yaml", fmt.Sprintf(pulledPod, s.registry))
	for _, args := range []string{"-v image pull --insecure " + s.registry + " " + s.registry + "/app:v1", "-v up --insecure " + s.registry + " " + pulled, "describe pulled", "events"} {
		s.run(strings.Fields(args)...)
	}
	s.run("up", "http://user:mark3r-url@127.0.0.1:1/pod.yaml")
}

func (s secretive) manifest(name, text string) string {
	path := filepath.Join(s.g.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil { // the user's own
		s.t.Fatal(err)
	}
	return path
}

func (s secretive) refuse() {
	for i, wrong := range wrongSecrets {
		file := s.manifest("wrong.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: wrong}\n"+wrong+"\n")
		for _, args := range [][]string{{"-v", "up", file}, {"validate", file}} {
			if r := s.run(args...); r.Code == 0 {
				s.t.Errorf("wrong Secret %d is taken: %s", i, r)
			}
		}
	}
}

// refusingRegistry takes no login.
func refusingRegistry(t *testing.T) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="here"`)
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"errors":[{"code":"UNAUTHORIZED","message":"no"}]}`)
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// watchProcesses looks at all processes again and again, but for the containers'
// own programs, which the manifest gives the values.
func (s secretive) watchProcesses() (stop func()) {
	done, ended := make(chan struct{}), sync.WaitGroup{}
	ended.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				s.lookAtProcesses()
			}
		}
	})
	return func() { close(done); ended.Wait() }
}

func (s secretive) lookAtProcesses() {
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range dirs {
		title, _ := os.ReadFile(dir + "/cmdline")
		environment, _ := os.ReadFile(dir + "/environ")
		if exe, err := os.Readlink(dir + "/exe"); err != nil || exe == "/busybox" || strings.Contains(string(title), "mark3r-url") {
			continue // or a command line of the test's own
		}
		if strings.Contains(string(title)+string(environment), "mark3r") {
			s.search("process "+string(title), string(title)+string(environment))
		}
	}
}

// asOthers reads whatever nobody can read.
func (s secretive) asOthers() {
	if err := asNobody(func() error {
		files := 0
		for _, top := range []string{s.g.Store.Root, s.g.Store.RunRoot, s.g.Store.LogDir} {
			filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
				if err != nil || !d.Type().IsRegular() {
					return nil // not for nobody
				}
				if text, err := os.ReadFile(path); err == nil {
					files++
					s.search(path, string(text))
				}
				return nil
			})
		}
		if files > 0 && s.t.Failed() {
			return fmt.Errorf("nobody can read %d files", files)
		}
		return nil
	}); err != nil {
		s.t.Error(err)
	}
	for _, dir := range []string{"pods", "objects", "images", "names"} {
		s.mode(filepath.Join(s.g.Store.Root, dir), 0o700)
	}
	s.mode(filepath.Join(s.g.Store.RunRoot, "pods"), 0o700)
	uid, err := s.g.UID("secret")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, dir := range []string{s.g.Store.PodDir(uid), s.g.Store.RunDir(uid)} {
		s.mode(dir, 0o700)
		files, _ := filepath.Glob(dir + "/*.json*")
		for _, file := range append(files, filepath.Join(s.g.Store.RunDir(uid), "monitor.log")) {
			s.mode(file, 0o600)
		}
	}
}

func (s secretive) mode(path string, want fs.FileMode) {
	info, err := os.Stat(path)
	if err != nil {
		s.t.Error(err)
	} else if got := info.Mode().Perm(); got != want {
		s.t.Errorf("%s has mode %o, want %o", path, got, want)
	}
}
