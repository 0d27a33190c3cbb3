package monitor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"podrun/pod"
	"podrun/state"
	"podrun/volumes"
)

func keepObject(t *testing.T, s *state.Store, o state.Object) {
	t.Helper()
	turn, err := s.LockObjects()
	if err != nil {
		t.Fatal(err)
	}
	defer turn.Close()
	if err := s.WriteObject(o); err != nil {
		t.Fatal(err)
	}
}

func settings(value string) *v1.ConfigMap {
	return &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "settings"}, Data: map[string]string{"color": value}}
}

func TestObjects(t *testing.T) {
	s := newStore(t)
	keepObject(t, s, settings("red"))
	keepObject(t, s, &v1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "login"}})
	keepObject(t, s, &v1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "unused"}})
	if err := os.MkdirAll(filepath.Join(s.ClaimDir("default"), "left"), 0o700); err != nil {
		t.Fatal(err)
	}
	p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default"}, Spec: v1.PodSpec{Volumes: []v1.Volume{
		{VolumeSource: v1.VolumeSource{ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}}},
		{VolumeSource: v1.VolumeSource{Secret: &v1.SecretVolumeSource{SecretName: "login"}}},
		{VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "left"}}},
		{VolumeSource: v1.VolumeSource{PersistentVolumeClaim: &v1.PersistentVolumeClaimVolumeSource{ClaimName: "none"}}},
	}}}
	got, err := Objects(s, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.ConfigMaps) != 1 || got.ConfigMaps["settings"].Data["color"] != "red" || len(got.Secrets) != 0 {
		t.Errorf("got %+v and %+v, want what the pod names in its namespace", got.ConfigMaps, got.Secrets)
	}
	if got.Claims["left"] == nil || got.Claims["none"] != nil {
		t.Errorf("got claims %v, want the one whose data is there", got.Claims)
	}
	if err := os.WriteFile(filepath.Join(s.Root, "objects/default/configmaps/settings"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Objects(s, p); err == nil || !strings.Contains(err.Error(), "settings") {
		t.Errorf("a damaged file: got %v, want an error that names it", err)
	}
}

// A change of which nobody has told is found within the sync period; a pod that
// refers to nothing is not looked after at all.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		keepObject(t, s, settings("red"))
		p := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: uid}, Spec: v1.PodSpec{
			Containers: []v1.Container{{Name: "main", VolumeMounts: []v1.VolumeMount{{Name: "v", MountPath: "/v"}}}},
			Volumes: []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{
				ConfigMap: &v1.ConfigMapVolumeSource{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}}}},
		}}
		m := &monitor{store: s, record: &state.Record{Pod: p}, pod: p, lives: make(chan struct{})}
		m.life = pod.New(pod.Config{Pod: p})
		close(m.lives)
		objects, err := m.references()
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(s.PodDir(uid), "volumes")
		m.volumes, err = volumes.Mount(volumes.Spec{Pod: p, ConfigMaps: objects.ConfigMaps, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); m.follow(ctx, m.stamps()) }()
		shows := func() string {
			data, err := os.ReadFile(filepath.Join(dir, "v", "color"))
			if err != nil {
				t.Error(err)
			}
			return string(data)
		}
		time.Sleep(followPeriod / 2)
		keepObject(t, s, settings("blue"))
		if got := shows(); got != "red" {
			t.Errorf("at first: got %q, want red", got)
		}
		time.Sleep(followPeriod)
		synctest.Wait()
		if got := shows(); got != "blue" {
			t.Errorf("after the period: got %q, want blue", got)
		}
		cancel()
		<-done
		// What comes while the pod is being removed must not make anything anew.
		m.closeChanges()
		if err := os.RemoveAll(s.PodDir(uid)); err != nil {
			t.Fatal(err)
		}
		keepObject(t, s, settings("green"))
		encoded, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if err := m.change(encoded); !errors.Is(err, errEnded) {
			t.Errorf("a change of a pod that is going: got %v", err)
		}
		if err := m.refresh(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(s.PodDir(uid)); !os.IsNotExist(err) {
			t.Errorf("the pod's directory is there again: %v", err)
		}
		m.pod = &v1.Pod{}
		m.beginFollowing(m.stamps()) // it would never end
	})
}

// An ephemeral container's objects are followed as those of the others, though
// the pod had none before.
func TestFollowEphemeral(t *testing.T) {
	s := newStore(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	record := newRecord(s)
	m := &monitor{store: s, record: record, pod: record.Pod.DeepCopy(), lives: make(chan struct{}), ctx: ctx}
	m.life = pod.New(pod.Config{Pod: m.pod})
	close(m.lives)
	m.beginFollowing(m.stamps())
	c := v1.EphemeralContainer{EphemeralContainerCommon: v1.EphemeralContainerCommon{Name: "debug", EnvFrom: []v1.EnvFromSource{{
		ConfigMapRef: &v1.ConfigMapEnvSource{LocalObjectReference: v1.LocalObjectReference{Name: "settings"}}}}}}
	encoded, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.addEphemeral(encoded); err != nil {
		t.Fatal(err)
	}
	m.following.Do(func() { t.Error("the pod follows nothing") })
	before := m.stamps()
	keepObject(t, s, settings("red"))
	if now := m.stamps(); now == before {
		t.Errorf("got stamps %q before and after a change", now)
	}
}
