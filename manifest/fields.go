package manifest

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// class is what podrun makes of a field.
type class int

const (
	refused  class = iota // also every field that no table names, so that a new version of the API surprises nobody
	honoured              // means what Kubernetes says; the fields below it are looked up in turn
	ignored               // has no meaning on one machine: accepted with a note
)

type rule struct {
	class    class
	reason   string // what to do instead, or why the field means nothing; may be empty
	harmless string // the value that asks for what happens anyway, where that is not the zero value; {} for an empty struct
}

// fieldTable holds a rule for each field pattern. Init containers have the rules of containers.
type fieldTable map[string]rule

func (t fieldTable) rule(pattern string) rule {
	if rest, ok := strings.CutPrefix(pattern, "spec.initContainers["); ok {
		pattern = "spec.containers[" + rest
	}
	return t[pattern]
}

// harmless tells whether a field is set to something that changes nothing: the value that the table names,
// or else false, "" or an empty list. Behind a pointer 0, "" and {} are values of their own (fsGroup: 0 is
// root's group, nfs: {} a network volume), so that only false and what the table names count.
func harmless(v reflect.Value, r rule) bool {
	pointer := v.Kind() == reflect.Pointer
	if pointer {
		if v.IsNil() {
			return true // nothing was decoded, which the document's reader has complained of
		}
		v = v.Elem()
	}
	switch {
	case r.harmless == "{}":
		return v.IsZero()
	case r.harmless != "":
		return fmt.Sprint(v) == r.harmless
	case v.Kind() == reflect.Slice, v.Kind() == reflect.Map:
		return v.Len() == 0
	}
	return v.IsZero() && (!pointer || v.Kind() == reflect.Bool)
}

// parseTable reads a table: "class  parent  name name=harmless ...  : reason", where the parent - is the object
// itself and a reason holds for the whole line.
func parseTable(tables ...string) fieldTable {
	classes := map[string]class{"honoured": honoured, "ignored": ignored, "refused": refused}
	t := fieldTable{}
	for _, table := range tables {
		for line := range strings.Lines(strings.TrimSpace(table)) {
			row, reason, _ := strings.Cut(line, " : ")
			words := strings.Fields(row)
			if len(words) == 0 {
				continue
			}
			prefix := words[1] + "."
			if words[1] == "-" {
				prefix = ""
			}
			for _, word := range words[2:] {
				name, value, _ := strings.Cut(word, "=")
				t[prefix+name] = rule{classes[words[0]], strings.TrimSpace(reason), value}
			}
		}
	}
	return t
}

// The tables. What a line refuses with a reason would be refused without the line, too.

const metaTable = `
honoured  -         apiVersion kind metadata
honoured  metadata  name namespace labels annotations
refused   metadata  generateName : podrun makes no names up, give the object a metadata.name
ignored   metadata  uid resourceVersion generation selfLink creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields : is set by the server, never by a manifest
ignored   metadata  ownerReferences finalizers : has no meaning on one machine: no controller acts on it
ignored   -         status : is what a server reports, not what a manifest asks for
`

const podTable = `
honoured  -     spec
honoured  spec  containers initContainers volumes restartPolicy terminationGracePeriodSeconds hostNetwork hostname dnsPolicy securityContext
honoured  spec  dnsConfig hostAliases subdomain setHostnameAsFQDN hostnameOverride
honoured  spec.dnsConfig  nameservers searches options
honoured  spec.dnsConfig.options[]  name value
honoured  spec.hostAliases[]  ip hostnames
honoured  spec  os
honoured  spec.os  name
ignored   spec  nodeName nodeSelector affinity tolerations topologySpreadConstraints schedulerName=default-scheduler schedulingGroup priority priorityClassName preemptionPolicy overhead : has no meaning on one machine: nothing is scheduled
ignored   spec  serviceAccountName serviceAccount automountServiceAccountToken : has no meaning on one machine: there is no API server to log in to
ignored   spec  enableServiceLinks : has no meaning on one machine: there are no Services
refused   spec  imagePullSecrets : credentials come from docker's config file (docker login writes it)
refused   spec  schedulingGates readinessGates : nothing on one machine would ever open the gate
refused   spec  hostUsers=true
honoured  spec  resources
honoured  spec.resources  limits requests
refused   spec.resources  claims : there are no devices to claim
refused   spec  ephemeralContainers : they are added to a running Pod, never written in a manifest

honoured  spec.securityContext  runAsUser runAsGroup runAsNonRoot supplementalGroups fsGroup fsGroupChangePolicy seccompProfile
honoured  spec.securityContext.seccompProfile  type
refused   spec.securityContext.seccompProfile  localhostProfile : use type RuntimeDefault or Unconfined
refused   spec.securityContext  supplementalGroupsPolicy=Merge seLinuxOptions={} windowsOptions={}

honoured  spec.containers[]  name image imagePullPolicy command args workingDir ports env envFrom resources volumeMounts
honoured  spec.containers[]  livenessProbe readinessProbe startupProbe securityContext terminationMessagePath terminationMessagePolicy
ignored   spec.containers[]  resizePolicy : has no meaning here: podrun resizes no running container
refused   spec.containers[]  lifecycle={}
refused   spec.containers[]  volumeDevices : there are no block volumes, use volumeMounts

honoured  spec.containers[].ports[]  name containerPort hostPort hostIP protocol
honoured  spec.containers[].env[]  name value valueFrom
honoured  spec.containers[].env[].valueFrom  fieldRef resourceFieldRef configMapKeyRef secretKeyRef
honoured  spec.containers[].env[].valueFrom.fieldRef  apiVersion fieldPath
honoured  spec.containers[].env[].valueFrom.resourceFieldRef  containerName resource divisor
honoured  spec.containers[].env[].valueFrom.configMapKeyRef  name key optional
honoured  spec.containers[].env[].valueFrom.secretKeyRef  name key optional
honoured  spec.containers[].envFrom[]  prefix configMapRef secretRef
honoured  spec.containers[].envFrom[].configMapRef  name optional
honoured  spec.containers[].envFrom[].secretRef  name optional
honoured  spec.containers[].resources  limits requests
honoured  spec.containers[].volumeMounts[]  name mountPath readOnly subPath
refused   spec.containers[].volumeMounts[]  subPathExpr : use subPath
refused   spec.containers[].volumeMounts[]  mountPropagation=None recursiveReadOnly=Disabled

honoured  spec.containers[].livenessProbe   exec httpGet tcpSocket initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds
honoured  spec.containers[].readinessProbe  exec httpGet tcpSocket initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds
honoured  spec.containers[].startupProbe    exec httpGet tcpSocket initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds
honoured  spec.containers[].livenessProbe.exec   command
honoured  spec.containers[].readinessProbe.exec  command
honoured  spec.containers[].startupProbe.exec    command
honoured  spec.containers[].livenessProbe.httpGet   path port host scheme httpHeaders
honoured  spec.containers[].readinessProbe.httpGet  path port host scheme httpHeaders
honoured  spec.containers[].startupProbe.httpGet    path port host scheme httpHeaders
honoured  spec.containers[].livenessProbe.httpGet.httpHeaders[]   name value
honoured  spec.containers[].readinessProbe.httpGet.httpHeaders[]  name value
honoured  spec.containers[].startupProbe.httpGet.httpHeaders[]    name value
honoured  spec.containers[].livenessProbe.tcpSocket   port host
honoured  spec.containers[].readinessProbe.tcpSocket  port host
honoured  spec.containers[].startupProbe.tcpSocket    port host
refused   spec.containers[].livenessProbe   grpc : use exec, httpGet or tcpSocket
refused   spec.containers[].readinessProbe  grpc : use exec, httpGet or tcpSocket
refused   spec.containers[].startupProbe    grpc : use exec, httpGet or tcpSocket

honoured  spec.containers[].securityContext  runAsUser runAsGroup runAsNonRoot capabilities privileged readOnlyRootFilesystem allowPrivilegeEscalation seccompProfile
refused   spec.containers[].securityContext  procMount=Default seLinuxOptions={} windowsOptions={}
honoured  spec.containers[].securityContext.capabilities  add drop
honoured  spec.containers[].securityContext.seccompProfile  type
refused   spec.containers[].securityContext.seccompProfile  localhostProfile : use type RuntimeDefault or Unconfined

honoured  spec.volumes[]  name emptyDir hostPath configMap secret persistentVolumeClaim
honoured  spec.volumes[].emptyDir  medium sizeLimit
honoured  spec.volumes[].hostPath  path type
honoured  spec.volumes[].configMap  name items defaultMode optional
honoured  spec.volumes[].configMap.items[]  key path mode
honoured  spec.volumes[].secret  secretName items defaultMode optional
honoured  spec.volumes[].secret.items[]  key path mode
honoured  spec.volumes[].persistentVolumeClaim  claimName readOnly
refused   spec.volumes[]  ephemeral : use emptyDir, or persistentVolumeClaim for data that outlives the Pod
refused   spec.volumes[]  downwardAPI : env with fieldRef and resourceFieldRef gives the same values
refused   spec.volumes[]  projected : mount its configMap and secret sources as volumes of their own
refused   spec.volumes[]  nfs iscsi cephfs csi fc flexVolume glusterfs rbd : mount it on the machine and use hostPath
refused   spec.volumes[]  awsElasticBlockStore azureDisk azureFile cinder flocker gcePersistentDisk gitRepo photonPersistentDisk portworxVolume quobyte scaleIO storageos vsphereVolume : mount it on the machine and use hostPath
`

const objectTable = `
honoured  -  data binaryData stringData type immutable
`

const claimTable = `
honoured  -     spec
honoured  spec  accessModes resources volumeMode
honoured  spec.resources  requests limits
ignored   spec  storageClassName volumeAttributesClassName volumeName selector : has no meaning on one machine: a claim is a directory of its own, which outlives its Pods
refused   spec  dataSource dataSourceRef : a claim starts empty; an init container can fill it
`

var (
	podFields    = sync.OnceValue(func() fieldTable { return parseTable(metaTable, podTable) })
	objectFields = sync.OnceValue(func() fieldTable { return parseTable(metaTable, objectTable) })
	claimFields  = sync.OnceValue(func() fieldTable { return parseTable(metaTable, claimTable) })
)
