package manifest

import "sync"

//go:generate go test . -run TestFieldsPage -update

// The tables say of every field of the API what podrun makes of it: "class  parent  name ...  : reason". Classes are
// honoured, ignored (no meaning on one machine: accepted, and named by up) and refused (the reason says what to use
// instead). A field below one that is not honoured shares its class, whatever its own line says. Init and ephemeral
// containers share the lines of containers. A test fails for a field without a line, and for an honoured one that
// no script sets; docs/fields.md is made of the tables (go generate ./manifest).

const metaTable = `
honoured  -         apiVersion kind metadata
honoured  metadata  name namespace labels annotations
ignored   metadata  generateName : podrun makes no names up, metadata.name is the name
ignored   metadata  uid resourceVersion generation selfLink creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields : is set by the server, never by a manifest
ignored   metadata  ownerReferences finalizers : no controller acts on it
`

const podTable = `
honoured  -     spec
ignored   -     status : is what a server reports, not what a manifest asks for

honoured  spec  containers initContainers volumes restartPolicy terminationGracePeriodSeconds
honoured  spec  activeDeadlineSeconds readinessGates
honoured  spec.readinessGates[]  conditionType
ignored   spec  nodeName nodeSelector affinity tolerations topologySpreadConstraints schedulerName=default-scheduler schedulingGroup priority priorityClassName preemptionPolicy overhead : nothing is scheduled
honoured  spec  dnsConfig
honoured  spec  dnsPolicy hostNetwork hostname
honoured  spec.dnsConfig  nameservers searches options
honoured  spec.dnsConfig.options[]  name value
honoured  spec  hostAliases
honoured  spec.hostAliases[]  ip hostnames
honoured  spec  subdomain
honoured  spec  setHostnameAsFQDN
honoured  spec  hostnameOverride
ignored   spec  serviceAccountName serviceAccount automountServiceAccountToken : there is no API server to log in to
honoured  spec  imagePullSecrets
honoured  spec.imagePullSecrets[]  name
ignored   spec  enableServiceLinks : there are no Services
honoured  spec  hostPID
honoured  spec  hostIPC
honoured  spec  shareProcessNamespace
honoured  spec  hostUsers
honoured  spec  os securityContext
honoured  spec.os  name
refused   spec  schedulingGates : nothing on one machine would ever open the gate, leave it out
refused   spec  resourceClaims : there is no driver that gives devices out, use a hostPath volume of a privileged container
refused   spec  runtimeClassName : every container runs on this machine's kernel, leave it out
honoured  spec  resources
honoured  spec.resources  limits requests
refused   spec.resources  claims : there is no driver that gives devices out, use a hostPath volume of a privileged container
honoured  spec  ephemeralContainers
honoured  spec.ephemeralContainers[]  targetContainerName

honoured  spec.securityContext  runAsUser runAsGroup runAsNonRoot supplementalGroups seccompProfile
honoured  spec.securityContext.seccompProfile  type localhostProfile
honoured  spec.securityContext  fsGroup
honoured  spec.securityContext  fsGroupChangePolicy
honoured  spec.securityContext  supplementalGroupsPolicy
refused   spec.securityContext  windowsOptions={} : these are Linux containers, use runAsUser and its neighbours
honoured  spec.securityContext  sysctls
honoured  spec.securityContext.sysctls[]  name value
honoured  spec.securityContext  appArmorProfile
honoured  spec.securityContext.appArmorProfile  type localhostProfile
honoured  spec.securityContext  seLinuxOptions
honoured  spec.securityContext  seLinuxChangePolicy
honoured  spec.securityContext.seLinuxOptions  user role type level

honoured  spec.containers[]  name image imagePullPolicy command args workingDir ports env envFrom resources volumeMounts
honoured  spec.containers[]  livenessProbe readinessProbe startupProbe securityContext terminationMessagePath terminationMessagePolicy
honoured  spec.containers[]  restartPolicy restartPolicyRules
honoured  spec.containers[].restartPolicyRules[]  action exitCodes
honoured  spec.containers[].restartPolicyRules[].exitCodes  operator values
refused   spec.containers[]  volumeDevices : there are no block volumes, use volumeMounts
honoured  spec.containers[]  stdin stdinOnce tty
honoured  spec.containers[].ports[]  name containerPort hostPort hostIP protocol
honoured  spec.containers[]  lifecycle
honoured  spec.containers[].lifecycle  postStart
honoured  spec.containers[].lifecycle  preStop
honoured  spec.containers[].lifecycle  stopSignal
honoured  spec.containers[].lifecycle.{postStart,preStop}  exec
honoured  spec.containers[].lifecycle.{postStart,preStop}  httpGet
honoured  spec.containers[].lifecycle.{postStart,preStop}  tcpSocket
honoured  spec.containers[].lifecycle.{postStart,preStop}  sleep
honoured  spec.containers[].lifecycle.{postStart,preStop}.exec  command
honoured  spec.containers[].lifecycle.{postStart,preStop}.httpGet  path port host scheme httpHeaders
honoured  spec.containers[].lifecycle.{postStart,preStop}.httpGet.httpHeaders[]  name value
honoured  spec.containers[].lifecycle.{postStart,preStop}.tcpSocket  port host
honoured  spec.containers[].lifecycle.{postStart,preStop}.sleep  seconds

honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}  exec httpGet tcpSocket initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold terminationGracePeriodSeconds
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}.exec  command
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}.httpGet  path port host scheme httpHeaders
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}.httpGet.httpHeaders[]  name value
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}.tcpSocket  port host
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}  grpc
honoured  spec.containers[].{livenessProbe,readinessProbe,startupProbe}.grpc  port service

honoured  spec.containers[].env[]  name value valueFrom
honoured  spec.containers[].env[].valueFrom  fieldRef resourceFieldRef configMapKeyRef secretKeyRef fileKeyRef
honoured  spec.containers[].env[].valueFrom.fieldRef  apiVersion fieldPath
honoured  spec.containers[].env[].valueFrom.resourceFieldRef  containerName resource divisor
honoured  spec.containers[].env[].valueFrom.configMapKeyRef  name key optional
honoured  spec.containers[].env[].valueFrom.secretKeyRef  name key optional
honoured  spec.containers[].env[].valueFrom.fileKeyRef  volumeName path key optional
honoured  spec.containers[].envFrom[]  prefix configMapRef secretRef
honoured  spec.containers[].envFrom[].configMapRef  name optional
honoured  spec.containers[].envFrom[].secretRef  name optional
honoured  spec.containers[]  resizePolicy
honoured  spec.containers[].resizePolicy[]  resourceName restartPolicy
honoured  spec.containers[].resources  limits requests
refused   spec.containers[].resources  claims : there is no driver that gives devices out, use a hostPath volume of a privileged container

honoured  spec.containers[].volumeMounts[]  name mountPath readOnly subPath
honoured  spec.containers[].volumeMounts[]  subPathExpr
honoured  spec.containers[].securityContext  runAsUser runAsGroup runAsNonRoot capabilities privileged readOnlyRootFilesystem allowPrivilegeEscalation seccompProfile
honoured  spec.containers[].volumeMounts[]  mountPropagation
honoured  spec.containers[].volumeMounts[]  recursiveReadOnly
honoured  spec.containers[].securityContext.capabilities  add drop
honoured  spec.containers[].securityContext.seccompProfile  type localhostProfile
honoured  spec.containers[].securityContext  procMount
refused   spec.containers[].securityContext  windowsOptions={} : these are Linux containers, use runAsUser and its neighbours
honoured  spec.containers[].securityContext  appArmorProfile
honoured  spec.containers[].securityContext.appArmorProfile  type localhostProfile
honoured  spec.containers[].securityContext  seLinuxOptions
honoured  spec.containers[].securityContext.seLinuxOptions  user role type level

honoured  spec.volumes[]  name emptyDir hostPath configMap secret persistentVolumeClaim
honoured  spec.volumes[].emptyDir  medium sizeLimit
honoured  spec.volumes[].hostPath  path type
honoured  spec.volumes[].configMap  name items defaultMode optional
honoured  spec.volumes[].configMap.items[]  key path mode
honoured  spec.volumes[].secret  secretName items defaultMode optional
honoured  spec.volumes[].secret.items[]  key path mode
honoured  spec.volumes[].persistentVolumeClaim  claimName readOnly
honoured  spec.volumes[]  downwardAPI
honoured  spec.volumes[].downwardAPI  defaultMode items
honoured  spec.volumes[].downwardAPI.items[]  path mode fieldRef resourceFieldRef
honoured  spec.volumes[].downwardAPI.items[].fieldRef  apiVersion fieldPath
honoured  spec.volumes[].downwardAPI.items[].resourceFieldRef  containerName resource divisor
honoured  spec.volumes[]  projected
honoured  spec.volumes[].projected  defaultMode sources
honoured  spec.volumes[].projected.sources[]  configMap secret downwardAPI
honoured  spec.volumes[].projected.sources[].{configMap,secret}  name optional items
honoured  spec.volumes[].projected.sources[].{configMap,secret}.items[]  key path mode
honoured  spec.volumes[].projected.sources[].downwardAPI  items
honoured  spec.volumes[].projected.sources[].downwardAPI.items[]  path mode fieldRef resourceFieldRef
honoured  spec.volumes[].projected.sources[].downwardAPI.items[].fieldRef  apiVersion fieldPath
honoured  spec.volumes[].projected.sources[].downwardAPI.items[].resourceFieldRef  containerName resource divisor
refused   spec.volumes[].projected.sources[]  serviceAccountToken : there is no API server that would take or give it, use a secret
refused   spec.volumes[].projected.sources[]  clusterTrustBundle podCertificate : there is no API server that would give it, use a configMap or a secret
refused   spec.volumes[]  nfs iscsi cephfs csi fc flexVolume glusterfs rbd : mount it on the machine and use hostPath
refused   spec.volumes[]  awsElasticBlockStore azureDisk azureFile cinder flocker gcePersistentDisk photonPersistentDisk portworxVolume quobyte scaleIO storageos vsphereVolume : mount it on the machine and use hostPath
refused   spec.volumes[]  gitRepo : clone it in an init container, into an emptyDir
honoured  spec.volumes[]  ephemeral
honoured  spec.volumes[].ephemeral  volumeClaimTemplate
honoured  spec.volumes[].ephemeral.volumeClaimTemplate  metadata spec
honoured  spec.volumes[].ephemeral.volumeClaimTemplate.metadata  labels annotations
ignored   spec.volumes[].ephemeral.volumeClaimTemplate.metadata  name namespace generateName uid resourceVersion generation selfLink creationTimestamp deletionTimestamp deletionGracePeriodSeconds managedFields ownerReferences finalizers : the claim's name and the rest follow from the Pod
honoured  spec.volumes[].ephemeral.volumeClaimTemplate.spec  accessModes resources volumeMode
honoured  spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources  requests limits
ignored   spec.volumes[].ephemeral.volumeClaimTemplate.spec  storageClassName volumeAttributesClassName volumeName selector : a claim is a directory of its own
refused   spec.volumes[].ephemeral.volumeClaimTemplate.spec  dataSource dataSourceRef : a claim starts empty, an init container can fill it
honoured  spec.volumes[]  image
honoured  spec.volumes[].image  reference pullPolicy
`

const configMapTable = `
honoured  -  data binaryData immutable
`

const secretTable = `
honoured  -  data stringData type immutable
`

const claimTable = `
honoured  -     spec
honoured  spec  accessModes resources volumeMode
honoured  spec.resources  requests limits
ignored   spec  storageClassName volumeAttributesClassName volumeName selector : a claim is a directory of its own, which outlives its Pods
refused   spec  dataSource dataSourceRef : a claim starts empty, an init container can fill it
ignored   -     status : is what a server reports, not what a manifest asks for
`

var (
	podFields       = sync.OnceValue(func() fieldTable { return parseTable(metaTable, podTable) })
	configMapFields = sync.OnceValue(func() fieldTable { return parseTable(metaTable, configMapTable) })
	secretFields    = sync.OnceValue(func() fieldTable { return parseTable(metaTable, secretTable) })
	claimFields     = sync.OnceValue(func() fieldTable { return parseTable(metaTable, claimTable) })
)
