package chaos

// A pod comes, runs a command, and goes.
func walkPlain(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.wrote("web", "main", 0, 100)
	s.exits(0, "exec", "web", "--", "true")
	s.serves()
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const plainPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec httpd -f -p 80 -h /etc"]
    ports: [{containerPort: 80, hostPort: PORT}]
`

// A container is added to a pod that runs.
func walkDebug(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.exits(0, "debug", "web", "--image", "busybox", "-c", "look", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
	s.same(before, s.runs("web", "main", "look"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

// A monitor is killed, and the one that follows is killed at a step, while one container
// ends and another writes.
func walkRecovery(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main", "short")
	delete(before, "short")
	s.begin()
	s.kill("web", "monitor")
	s.g.Write(s.T, "world/go", "")
	s.ended("web", "short", 0, 5)
	s.wrote("web", "short", 0, 50)
	s.wrote("web", "main", 0, 200)
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const endingPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 0
  volumes: [{name: world, hostPath: {path: GROUND/world}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; while [ ! -e /world/go ]; do sleep 0.02; done; seq 101 200; exec sleep 3600"]
    volumeMounts: [{name: world, mountPath: /world}]
  - name: short
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 20; while [ ! -e /world/go ]; do sleep 0.02; done; seq 21 50; exit 5"]
    volumeMounts: [{name: world, mountPath: /world}]
`

// A pod comes to its end by itself.
func walkFinishing(s *session) {
	s.comesTo("up", "pod.yaml") // 1, or 0 where the end comes later than up looks for it
	s.ended("web", "good", 0, 0)
	s.ended("web", "bad", 0, 3)
	s.ended("web", "first", 0, 0)
	s.untilPhase("web", "Failed")
	s.wrote("web", "good", 0, 100)
	s.wrote("web", "bad", 0, 30)
	s.wrote("web", "first", 0, 10)
	s.exits(0, "down", "pod.yaml")
}

const finishingPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  restartPolicy: Never
  initContainers:
  - {name: first, image: busybox, imagePullPolicy: Never, command: [seq, "1", "10"]}
  containers:
  - {name: good, image: busybox, imagePullPolicy: Never, command: [seq, "1", "100"]}
  - {name: bad, image: busybox, imagePullPolicy: Never, command: [sh, -c, "seq 1 30; exit 3"]}
`

// A container fails and is started again.
func walkRestart(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.wrote("web", "main", 0, 40)
	s.wrote("web", "main", 1, 50)
	s.restarts("web", "main", 1)
	s.endedBefore("web", "main", 7)
	s.same(s.runs("web", "main"), s.runs("web", "main"))
	s.exits(0, "down", "pod.yaml")
}

const restartingPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "if mkdir /data/again 2>/dev/null; then seq 1 40; exit 7; fi; seq 1 50; touch /data/ready; exec sleep 3600"]
    readinessProbe: {exec: {command: [test, -e, /data/ready]}, periodSeconds: 1}
    volumeMounts: [{name: data, mountPath: /data}]
`

// A running pod gets another manifest: labels and data in place, resources in its
// cgroups, an image by a restart.
func walkChange(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main", "other")
	delete(before, "other")
	s.exits(0, "up", "changed.yaml")
	s.same(before, s.runs("web", "main", "other"))
	s.restarts("web", "main", 0)
	s.restarts("web", "other", 1)
	s.wrote("web", "main", 0, 100)
	s.prints("new tier=\"front\"\n", "exec", "web", "-c", "main", "--", "sh", "-c", `echo $(cat /etc/settings/key) $(cat /etc/settings/labels)`)
	s.exits(0, "down", "changed.yaml")
}

const changingPod = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {key: old}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {tier: back}}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - name: settings
    projected: {sources: [{configMap: {name: settings}}, {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
    resources: {limits: {memory: 64Mi, cpu: 500m}}
    volumeMounts: [{name: settings, mountPath: /etc/settings}]
  - {name: other, image: busybox, imagePullPolicy: Never, command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.02; done"]}
`

const changedPod = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {key: new}
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {tier: front}}
spec:
  terminationGracePeriodSeconds: 0
  volumes:
  - name: settings
    projected: {sources: [{configMap: {name: settings}}, {downwardAPI: {items: [{path: labels, fieldRef: {fieldPath: metadata.labels}}]}}]}
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
    resources: {limits: {memory: 96Mi, cpu: 600m}}
    volumeMounts: [{name: settings, mountPath: /etc/settings}]
  - {name: other, image: second, imagePullPolicy: Never, command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.02; done"]}
`

// A pod with all that makes changes to the world.
func walkEverything(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main", "side")
	s.wrote("web", "first", 0, 10)
	s.wrote("web", "side", 0, 50)
	s.wrote("web", "main", 0, 100)
	s.ended("web", "first", 0, 0)
	s.prints("value\ntext\n\nweb", "exec", "web", "-c", "main", "--", "sh", "-c", "cat /settings/key /key; echo; cat /pod/name; echo x >/claim/x; echo x >/own/x; echo x >/disk/x")
	s.exits(0, "debug", "web", "--image", "busybox", "-c", "look", "--", "sh", "-c", "trap 'exit 0' TERM; while :; do sleep 0.02; done")
	s.same(before, s.runs("web", "main", "side", "look"))
	s.restarts("web", "main", 0)
	s.restarts("web", "side", 0)
	s.exits(0, "down", "--volumes", "pod.yaml")
}

const wholePod = `
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {key: "value\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: words}
stringData: {key: "text\n"}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, annotations: {kubernetes.io/ingress-bandwidth: 100M}}
spec:
  terminationGracePeriodSeconds: 2
  securityContext: {fsGroup: 1500, sysctls: [{name: net.ipv4.ip_local_port_range, value: "40000 50000"}]}
  volumes:
  - {name: disk, emptyDir: {}}
  - {name: memory, emptyDir: {medium: Memory}}
  - {name: settings, configMap: {name: settings}}
  - {name: words, secret: {secretName: words}}
  - {name: pod, downwardAPI: {items: [{path: name, fieldRef: {fieldPath: metadata.name}}]}}
  - {name: claim, persistentVolumeClaim: {claimName: data}}
  - {name: host, hostPath: {path: GROUND/host/made, type: DirectoryOrCreate}}
  - {name: programs, image: {reference: busybox, pullPolicy: Never}}
  - name: own
    ephemeral: {volumeClaimTemplate: {spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}}
  initContainers:
  - {name: first, image: busybox, imagePullPolicy: Never, command: [seq, "1", "10"]}
  - name: side
    image: busybox
    imagePullPolicy: Never
    restartPolicy: Always
    command: [sh, -c, "seq 1 50; exec sleep 3600"]
    lifecycle:
      postStart: {exec: {command: [touch, /disk/begun]}}
      preStop: {exec: {command: [touch, /disk/stopping]}}
      stopSignal: SIGKILL
    volumeMounts: [{name: disk, mountPath: /disk}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "trap 'exit 0' TERM; seq 1 100; touch /tmp/ready; while :; do sleep 0.02; done"]
    ports: [{containerPort: 80, hostPort: PORT}]
    readinessProbe: {exec: {command: [test, -e, /tmp/ready]}, periodSeconds: 1}
    volumeMounts:
    - {name: disk, mountPath: /disk, subPath: a/b}
    - {name: memory, mountPath: /memory}
    - {name: settings, mountPath: /settings}
    - {name: words, mountPath: /key, subPath: key}
    - {name: pod, mountPath: /pod}
    - {name: claim, mountPath: /claim}
    - {name: host, mountPath: /host}
    - {name: programs, mountPath: /programs}
    - {name: own, mountPath: /own}
`

// Pause is killed, and then the monitor that makes the next sandbox: up starts what
// nobody keeps.
func walkPause(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.begin()
	s.kill("web", "pause")
	s.untilKept("web")
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	s.wrote("web", "main", int(s.pod("web").Status.ContainerStatuses[0].RestartCount), 100)
	s.exits(0, "down", "pod.yaml")
}

// Both who kept the pod are dead: up starts it again, down removes it.
func walkLost(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.loses("web")
	s.exits(0, "up", "pod.yaml")
	s.runs("web", "main")
	s.loses("web")
	s.exits(0, "down", "pod.yaml")
}

// A probe hangs, and is killed with all that it has started.
func walkProbe(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main")
	s.wrote("web", "main", 0, 100)
	s.same(before, s.runs("web", "main"))
	s.restarts("web", "main", 0)
	s.exits(0, "down", "pod.yaml")
}

const probedPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
    readinessProbe: {exec: {command: [sh, -c, "mkdir /tmp/hung || exit 0; sleep 30 & sleep 30"]}, periodSeconds: 1, timeoutSeconds: 1}
`

// A pod is made anew in the place of another.
func walkReplace(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.exits(0, "up", "--replace", "pod.yaml")
	s.runs("web", "main")
	s.wrote("web", "main", 0, 100)
	s.exits(0, "down", "pod.yaml")
}

// A pod is put to sleep, as for a boot, and goes on.
func walkSuspend(s *session) {
	s.exits(0, "up", "pod.yaml")
	s.wrote("web", "main", 0, 100)
	s.exits(0, "suspend", "web")
	s.exits(0, "resume", "web")
	s.wrote("web", "main", 1, 100)
	s.until("the restart", func() bool { return s.status("web", "main").RestartCount == 1 })
	s.serves()
	s.exits(0, "down", "pod.yaml")
}

// A user namespace of the pod's own, and one of processes.
func walkUsers(s *session) {
	s.exits(0, "up", "pod.yaml")
	before := s.runs("web", "main", "first")
	s.wrote("web", "main", 0, 100)
	s.exits(0, "exec", "web", "--", "true")
	s.same(before, s.runs("web", "main", "first"))
	s.exits(0, "down", "pod.yaml")
}

const usersPod = `
apiVersion: v1
kind: Pod
metadata: {name: web}
spec:
  hostUsers: false
  shareProcessNamespace: true
  terminationGracePeriodSeconds: 0
  volumes: [{name: data, emptyDir: {}}]
  containers:
  - name: main
    image: busybox
    imagePullPolicy: Never
    command: [sh, -c, "seq 1 100; exec sleep 3600"]
    volumeMounts: [{name: data, mountPath: /data}]
`
